"""litellm: chat and text completion, with and without streaming, through its provider names."""

import os

import litellm

MODEL = "openai/qwen2.5-coder-0.5b-instruct"
TEXT_MODEL = "text-completion-openai/qwen2.5-coder-0.5b-instruct"
server = {"api_base": os.environ["OPENAI_BASE_URL"], "api_key": os.environ["OPENAI_API_KEY"]}
messages = [{"role": "user", "content": "Say hello in French."}]

answer = litellm.completion(MODEL, messages=messages, temperature=0, max_tokens=20, **server)
print(answer.choices[0].message.content)
stream = litellm.completion(MODEL, messages=messages, temperature=0, max_tokens=20, stream=True, **server)
print("".join(chunk.choices[0].delta.content or "" for chunk in stream))
text = litellm.text_completion(
    model=TEXT_MODEL, prompt="One, two, three,", temperature=0, max_tokens=4, **server
)
print(text.choices[0].text)
