"""langchain-openai: streaming, then structured output."""

from langchain_openai import ChatOpenAI
from pydantic import BaseModel, Field

MODEL = "qwen2.5-coder-0.5b-instruct"


class City(BaseModel):
    name: str = Field(max_length=20)
    country: str = Field(max_length=20)


chat = ChatOpenAI(model=MODEL, temperature=0, max_tokens=60)
for chunk in chat.stream("Count from one to five in words."):
    print(chunk.content, end="")
print()
city = chat.with_structured_output(City).invoke("Paris is the capital of France.")
print(city.name, "/", city.country)
