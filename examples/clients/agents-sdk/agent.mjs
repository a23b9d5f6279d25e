// OpenAI's Agents SDK for Node: a tool, a handoff, a typed result, and a stream.
import { Agent, run, setTracingDisabled, tool } from "@openai/agents";
import { z } from "zod";

const model = "qwen2.5-coder-0.5b-instruct";
const brief = { temperature: 0, maxTokens: 100 };
const forced = { ...brief, toolChoice: "required" };

setTracingDisabled(true); // traces would be sent to OpenAI

const getWeather = tool({
  name: "get_weather",
  description: "The weather of a city.",
  parameters: z.object({ city: z.string() }),
  execute: async ({ city }) => `21 degrees in ${city}`,
});
const guide = new Agent({ name: "Guide", instructions: "Help.", model, tools: [getWeather], modelSettings: forced });
const answered = await run(guide, "What is the weather in Paris?");
console.log(answered.newItems.map((item) => item.type).join(" "));

const writer = new Agent({ name: "Writer", instructions: "Say hello.", model, modelSettings: brief });
const desk = new Agent({ name: "Desk", instructions: "Help.", model, handoffs: [writer], modelSettings: forced });
console.log((await run(desk, "I want to talk to the writer.")).lastAgent.name);

const Person = z.object({ name: z.string(), age: z.number() });
const reader = new Agent({ name: "Reader", instructions: "Read.", model, outputType: Person, modelSettings: brief });
console.log((await run(reader, "Ann is 34 years old.")).finalOutput);

const streamed = await run(writer, "How do you say hello in Italian?", { stream: true });
for await (const text of streamed.toTextStream()) process.stdout.write(text);
await streamed.completed;
console.log();
