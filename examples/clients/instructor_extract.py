"""instructor: extract an object from a sentence."""

import instructor
from openai import OpenAI
from pydantic import BaseModel, Field

MODEL = "qwen2.5-coder-0.5b-instruct"


class Person(BaseModel):
    name: str = Field(max_length=20)
    age: int


client = instructor.from_openai(OpenAI(), mode=instructor.Mode.TOOLS_STRICT)
person = client.chat.completions.create(
    model=MODEL,
    messages=[{"role": "user", "content": "Ann is 34 years old."}],
    response_model=Person,
    temperature=0,
)
print(person.name, person.age)
