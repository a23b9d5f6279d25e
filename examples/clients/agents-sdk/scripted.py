"""The Agents SDK against the fake engine, which says what its prompt asks for: each tool's result is the
script of the next step. A loop of four steps, a handoff, a structured output, resumed conversations, a
cancelled stream."""

import asyncio
import json
from typing import Any

from agents import Agent, HandoffInputData, Runner, function_tool, handoff, set_tracing_disabled
from openai import AsyncOpenAI
from openai.types.responses import ResponseTextDeltaEvent
from pydantic import BaseModel

NUM_STEPS = 4


class Person(BaseModel):
    name: str
    age: int


def script(text: str) -> str:
    return f"[[say {text}]]"


def call(name: str, **arguments: Any) -> str:
    return script(f"<tool_call>\n{json.dumps({'name': name, 'arguments': arguments})}\n</tool_call>")


@function_tool
def step(number: int) -> str:
    """One step of four."""
    return call("step", number=number + 1) if number < NUM_STEPS else script("All steps are done.")


async def loop() -> None:
    result = await Runner.run(Agent(name="Worker", tools=[step]), call("step", number=1))
    print([item.type for item in result.new_items].count("tool_call_output_item"), result.final_output)


async def hand_off() -> None:
    writer = Agent(name="Writer", instructions="Write.")

    def ask(data: HandoffInputData) -> HandoffInputData:
        return data.clone(input_history=script("Ciao from the writer."))

    desk = Agent(name="Desk", handoffs=[handoff(writer, input_filter=ask)])
    result = await Runner.run(desk, call("transfer_to_writer"))
    print(result.last_agent.name, result.final_output)


async def structured() -> None:
    reader = Agent(name="Reader", output_type=Person)
    print((await Runner.run(reader, script('{"name":"Ann","age":34}'))).final_output)


async def resume(client: AsyncOpenAI) -> None:
    """The script is in the first turn only."""
    agent = Agent(name="Friend")
    first = await Runner.run(agent, script("The word is nest."))
    second = await Runner.run(agent, "Again.", previous_response_id=first.last_response_id)
    print("response:", second.final_output)
    conversation = await client.conversations.create()
    await Runner.run(agent, script("The word is wing."), conversation_id=conversation.id)
    second = await Runner.run(agent, "Again.", conversation_id=conversation.id)
    print("conversation:", second.final_output)


async def cancel(client: AsyncOpenAI) -> None:
    """The request ends on the server, too."""
    streamed = Runner.run_streamed(Agent(name="Slow"), "[[slow 200]]" + script("bird " * 500))
    async for event in streamed.stream_events():
        if event.type == "raw_response_event" and isinstance(event.data, ResponseTextDeltaEvent):
            streamed.cancel()
    rows: list[Any] = []
    while not rows:
        await asyncio.sleep(0.2)
        page: Any = await client.get("/organization/requests?outcomes=cancelled", cast_to=object)
        rows = page["data"]
    print("cancelled:", len(rows), rows[0]["output_tokens"] < 500)


async def main() -> None:
    set_tracing_disabled(True)
    client = AsyncOpenAI()
    await loop()
    await hand_off()
    await structured()
    await resume(client)
    await cancel(client)


asyncio.run(main())
