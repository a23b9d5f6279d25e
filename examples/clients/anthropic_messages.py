"""Anthropic's Python client against Myna: a streamed answer, a tool call and its result, counted tokens."""

import os

from anthropic import Anthropic

# Anthropic's client appends /v1 itself.
client = Anthropic(
    base_url=os.environ["OPENAI_BASE_URL"].removesuffix("/v1"), api_key=os.environ["OPENAI_API_KEY"]
)
MODEL = "claude-sonnet-5"  # an alias of the default model
GREEDY = {"temperature": 0}  # newer versions of the client have no parameter for it

with client.messages.stream(
    model=MODEL,
    max_tokens=20,
    extra_body=GREEDY,
    messages=[{"role": "user", "content": "Count from one to five in words."}],
) as stream:
    print("".join(stream.text_stream).replace("\n", " "))

weather = {
    "name": "get_weather",
    "description": "The weather in a city.",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    },
}
messages = [{"role": "user", "content": "What is the weather in Paris?"}]
answer = client.messages.create(
    model=MODEL,
    max_tokens=60,
    extra_body=GREEDY,
    messages=messages,
    tools=[weather],
    tool_choice={"type": "tool", "name": "get_weather"},
)
[call] = [block for block in answer.content if block.type == "tool_use"]
print(call.name, call.input)

result = {"type": "tool_result", "tool_use_id": call.id, "content": "21 degrees"}
messages += [{"role": "assistant", "content": answer.content}, {"role": "user", "content": [result]}]
answer = client.messages.create(
    model=MODEL,
    max_tokens=60,
    extra_body=GREEDY,
    messages=messages,
    tools=[weather],
    tool_choice={"type": "none"},
)
print(answer.stop_reason, "21" in answer.content[0].text)
print(client.messages.count_tokens(model=MODEL, messages=messages, tools=[weather]).input_tokens > 100)
