// The same as scripted.py with the Agents SDK for Node: each tool's result is the script of the next step.
import { Agent, handoff, run, setTracingDisabled, tool } from "@openai/agents";
import OpenAI from "openai";
import { z } from "zod";

const NUM_STEPS = 4;
const script = (text) => `[[say ${text}]]`;
const spaced = (value) => JSON.stringify(value).replace(/[:,]/g, "$& "); // as the grammar of calls has it
const call = (name, args) => script(`<tool_call>\n${spaced({ name, arguments: args })}\n</tool_call>`);

setTracingDisabled(true);
const client = new OpenAI();

const step = tool({
  name: "step",
  description: "One step of four.",
  parameters: z.object({ number: z.number() }),
  execute: async ({ number }) =>
    number < NUM_STEPS ? call("step", { number: number + 1 }) : script("All steps are done."),
});
const looped = await run(new Agent({ name: "Worker", tools: [step] }), call("step", { number: 1 }));
const outputs = looped.newItems.filter((item) => item.type === "tool_call_output_item");
console.log(outputs.length, looped.finalOutput);

const writer = new Agent({ name: "Writer", instructions: "Write." });
const ask = (data) => ({ ...data, inputHistory: script("Ciao from the writer.") });
const desk = new Agent({ name: "Desk", handoffs: [handoff(writer, { inputFilter: ask })] });
const handed = await run(desk, call("transfer_to_Writer", {}));
console.log(handed.lastAgent.name, handed.finalOutput);

const Person = z.object({ name: z.string(), age: z.number() });
const reader = new Agent({ name: "Reader", outputType: Person });
console.log((await run(reader, script('{"name":"Ann","age":34}'))).finalOutput);

const friend = new Agent({ name: "Friend" });
const first = await run(friend, script("The word is nest."));
const second = await run(friend, "Again.", { previousResponseId: first.lastResponseId });
console.log("response:", second.finalOutput);
const { id: conversationId } = await client.conversations.create();
await run(friend, script("The word is wing."), { conversationId });
console.log("conversation:", (await run(friend, "Again.", { conversationId })).finalOutput);

const leaving = new AbortController();
const slow = await run(new Agent({ name: "Slow" }), `[[slow 200]]${script("bird ".repeat(500))}`, {
  stream: true,
  signal: leaving.signal,
});
for await (const text of slow.toTextStream()) if (text) leaving.abort();
let rows = [];
while (!rows.length) {
  await new Promise((resolve) => setTimeout(resolve, 200));
  rows = (await client.get("/organization/requests?outcomes=cancelled")).data;
}
console.log("cancelled:", rows.length, rows[0].output_tokens < 500);
