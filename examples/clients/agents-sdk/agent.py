"""OpenAI's Agents SDK: a tool, a handoff, a typed result, and a stream."""

import asyncio

from agents import Agent, ModelSettings, Runner, function_tool, set_tracing_disabled
from openai.types.responses import ResponseTextDeltaEvent
from pydantic import BaseModel

MODEL = "qwen2.5-coder-0.5b-instruct"
BRIEF = ModelSettings(temperature=0, max_tokens=100)
FORCED = ModelSettings(temperature=0, max_tokens=100, tool_choice="required")


class Person(BaseModel):
    name: str
    age: int


@function_tool
def get_weather(city: str) -> str:
    """The weather of a city."""
    return f"21 degrees in {city}"


async def main() -> None:
    set_tracing_disabled(True)  # traces would be sent to OpenAI
    guide = Agent(name="Guide", model=MODEL, tools=[get_weather], model_settings=FORCED)
    result = await Runner.run(guide, "What is the weather in Paris?")
    print([item.type for item in result.new_items])

    writer = Agent(name="Writer", instructions="Say hello.", model=MODEL, model_settings=BRIEF)
    desk = Agent(name="Desk", model=MODEL, handoffs=[writer], model_settings=FORCED)
    result = await Runner.run(desk, "I want to talk to the writer.")
    print(result.last_agent.name)

    reader = Agent(name="Reader", model=MODEL, output_type=Person, model_settings=BRIEF)
    result = await Runner.run(reader, "Ann is 34 years old.")
    print(result.final_output)

    streamed = Runner.run_streamed(writer, "How do you say hello in Italian?")
    async for event in streamed.stream_events():
        if event.type == "raw_response_event" and isinstance(event.data, ResponseTextDeltaEvent):
            print(event.data.delta, end="", flush=True)
    print()


asyncio.run(main())
