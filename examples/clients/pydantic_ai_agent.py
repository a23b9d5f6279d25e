"""pydantic-ai: an agent with a tool and a typed result."""

from pydantic import BaseModel, Field
from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel

MODEL = "qwen2.5-coder-0.5b-instruct"


class Sum(BaseModel):
    total: int = Field(description="The sum of the numbers in the question.")


agent = Agent(OpenAIChatModel(MODEL), output_type=Sum, model_settings={"temperature": 0, "max_tokens": 100})
result = agent.run_sync("What is 2 + 3?")
print(result.output)
print(result.usage)
