"""openai: ask a question about each country in one batch, and join the answers to the countries."""

import json
import time

from openai import OpenAI

MODEL = "qwen2.5-coder-0.5b-instruct"
COUNTRIES = ("France", "Japan", "Italy", "Egypt")

client = OpenAI()


def request(country: str) -> dict[str, object]:
    question = f"What is the capital of {country}? One word only."
    body = {"model": MODEL, "messages": [{"role": "user", "content": question}], "temperature": 0}
    return {"custom_id": country, "method": "POST", "url": "/v1/chat/completions", "body": body}


lines = "\n".join(json.dumps(request(country)) for country in COUNTRIES)
file = client.files.create(file=("countries.jsonl", lines.encode()), purpose="batch")
batch = client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")
while batch.status in ("validating", "in_progress", "finalizing"):
    time.sleep(0.5)
    batch = client.batches.retrieve(batch.id)
if batch.status != "completed" or batch.output_file_id is None:
    raise SystemExit(f"The batch is {batch.status}: {batch.errors}")

answers = {}
for line in client.files.content(batch.output_file_id).text.splitlines():
    result = json.loads(line)  # in the order in which they were ready
    answers[result["custom_id"]] = result["response"]["body"]["choices"][0]["message"]["content"]
for country in COUNTRIES:
    print(f"{country}: {answers[country]}")
