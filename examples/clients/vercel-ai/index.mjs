// The Vercel AI SDK: streaming text, with a tool call in between, and structured output.
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { Output, generateText, streamText, tool } from "ai";
import { z } from "zod";

const myna = createOpenAICompatible({
  name: "myna",
  baseURL: process.env.OPENAI_BASE_URL,
  apiKey: process.env.OPENAI_API_KEY,
  supportsStructuredOutputs: true,
});
const model = myna("qwen2.5-coder-0.5b-instruct");

const stream = streamText({ model, prompt: "Say hello in Italian.", temperature: 0, maxOutputTokens: 20 });
for await (const text of stream.textStream) process.stdout.write(text);
console.log();

const weather = tool({
  description: "The weather of a city",
  inputSchema: z.object({ city: z.string().max(20) }),
  execute: async ({ city }) => `21 degrees in ${city}`,
});
const called = await generateText({
  model,
  prompt: "What is the weather in Paris?",
  tools: { weather },
  toolChoice: "required",
  temperature: 0,
  maxOutputTokens: 60,
});
console.log(called.toolResults[0].output);

const { output } = await generateText({
  model,
  prompt: "Ann is 34 years old.",
  output: Output.object({ schema: z.object({ name: z.string().max(20), age: z.number().int() }) }),
  temperature: 0,
  maxOutputTokens: 60,
});
console.log(output.name, output.age);
