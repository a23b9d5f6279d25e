// The official client for Node against a live server with the default model.
// OPENAI_BASE_URL and OPENAI_API_KEY say where; `make test-clients` sets them.
import assert from "node:assert/strict";
import { test } from "node:test";
import OpenAI, { APIError, AuthenticationError, BadRequestError, NotFoundError } from "openai";
import { zodFunction, zodResponseFormat, zodTextFormat } from "openai/helpers/zod";
import { z } from "zod";

const model = "qwen2.5-coder-0.5b-instruct";
const client = new OpenAI({ maxRetries: 0 });
const ask = [{ role: "user", content: "Say hello in Chinese." }];
const Weather = z.object({ city: z.string().max(20), unit: z.enum(["C", "F"]) });
const weather = zodFunction({ name: "get_weather", parameters: Weather, function: () => "21 degrees" });

test("models are listed and retrieved", async () => {
  const ids = [];
  for await (const found of client.models.list()) ids.push(found.id);
  assert.ok(ids.includes(model));
  assert.equal((await client.models.retrieve("gpt-4o-mini")).id, "gpt-4o-mini");
});

test("a streamed answer is the whole one", async () => {
  const body = { model, messages: ask, max_tokens: 24, seed: 7 };
  const whole = await client.chat.completions.create(body);
  const stream = await client.chat.completions.create({
    ...body,
    stream: true,
    stream_options: { include_usage: true },
  });
  let said = "";
  let usage = null;
  for await (const chunk of stream) {
    said += chunk.choices[0]?.delta.content ?? "";
    usage = chunk.usage ?? usage;
  }
  assert.equal(said, whole.choices[0].message.content);
  assert.deepEqual(usage.total_tokens, whole.usage.total_tokens);
  assert.match(whole._request_id, /^req_[0-9a-f]{32}$/);
});

test("the stream helper puts the answer together", async () => {
  const runner = client.chat.completions.stream({ model, messages: ask, max_tokens: 16, temperature: 0 });
  const deltas = [];
  runner.on("content", (delta) => deltas.push(delta));
  const final = await runner.finalChatCompletion();
  assert.equal(final.choices[0].message.content, deltas.join(""));
  assert.equal(final.choices[0].message.role, "assistant");
});

test("completions stream in whole characters", async () => {
  const stream = await client.completions.create({
    model,
    prompt: "中国的首都是",
    max_tokens: 12,
    temperature: 0,
    stream: true,
  });
  let text = "";
  for await (const chunk of stream) text += chunk.choices[0].text;
  assert.match(text, /北京/);
  assert.doesNotMatch(text, /\ufffd/);
});

test("a required tool is called, streamed or whole", async () => {
  const body = {
    model,
    messages: [{ role: "user", content: "What is the weather in Paris?" }],
    tools: [weather],
    tool_choice: "required",
    parallel_tool_calls: false,
    seed: 1,
    max_tokens: 100,
  };
  const whole = await client.chat.completions.create(body);
  const call = whole.choices[0].message.tool_calls[0];
  assert.equal(whole.choices[0].finish_reason, "tool_calls");
  Weather.parse(JSON.parse(call.function.arguments));
  const streamed = await client.chat.completions.stream(body).finalChatCompletion();
  assert.equal(streamed.choices[0].message.tool_calls[0].function.arguments, call.function.arguments);
});

test("runTools calls a function and hands its result back", async () => {
  const runner = client.chat.completions.runTools({
    model,
    messages: [{ role: "user", content: "What is the weather in Paris? Use the tool." }],
    tools: [weather],
    tool_choice: { type: "function", function: { name: "get_weather" } },
    temperature: 0,
    max_tokens: 100,
  });
  assert.equal(await runner.finalFunctionToolCallResult(), "21 degrees");
});

test("parse gives an object of the schema", async () => {
  const Person = z.object({ 姓名: z.string().max(8), age: z.number().int() });
  const answer = await client.chat.completions.parse({
    model,
    messages: [{ role: "user", content: "李雷今年十二岁。" }],
    response_format: zodResponseFormat(Person, "person"),
    max_tokens: 100,
  });
  assert.deepEqual(Object.keys(answer.choices[0].message.parsed), ["姓名", "age"]);
});

test("errors are the client's own classes with their fields", async () => {
  const messages = ask;
  await assert.rejects(client.chat.completions.create({ model: "no-such-model", messages }), (error) => {
    assert.ok(error instanceof NotFoundError);
    assert.equal(error.code, "model_not_found");
    assert.match(error.requestID, /^req_/);
    return true;
  });
  await assert.rejects(client.chat.completions.create({ model, messages, temperature: 3 }), (error) => {
    assert.ok(error instanceof BadRequestError);
    assert.equal(error.param, "temperature");
    return true;
  });
  await assert.rejects(new OpenAI({ apiKey: "sk-wrong-0000000000", maxRetries: 0 }).models.list(), AuthenticationError);
  await assert.rejects(client.get("/nothing"), (error) => error instanceof APIError && error.status === 404);
});

test("a kept completion is found, labelled and deleted", async () => {
  const made = await client.chat.completions.create({ model, messages: ask, max_tokens: 4, store: true });
  assert.equal((await client.chat.completions.retrieve(made.id)).id, made.id);
  await client.chat.completions.update(made.id, { metadata: { kind: "test" } });
  const found = await client.chat.completions.list({ metadata: { kind: "test" } });
  assert.deepEqual(found.data.map((item) => item.id), [made.id]);
  assert.equal((await client.chat.completions.delete(made.id)).deleted, true);
});

test("functions and custom tools are called in their own words", async () => {
  const greeting = { type: "object", properties: { 词: { type: "string", maxLength: 8 } }, required: ["词"] };
  const called = await client.chat.completions.create({
    model,
    messages: ask,
    max_tokens: 80,
    functions: [{ name: "hello", parameters: greeting }],
    function_call: { name: "hello" },
  });
  assert.equal(called.choices[0].finish_reason, "function_call");
  assert.deepEqual(Object.keys(JSON.parse(called.choices[0].message.function_call.arguments)), ["词"]);
  const body = {
    model,
    messages: ask,
    max_tokens: 80,
    seed: 3,
    tool_choice: "required",
    tools: [
      {
        type: "custom",
        custom: {
          name: "number",
          format: { type: "grammar", grammar: { syntax: "regex", definition: "[0-9]{1,3}" } },
        },
      },
    ],
  };
  const [call] = (await client.chat.completions.create(body)).choices[0].message.tool_calls;
  assert.match(call.custom.input, /^[0-9]{1,3}$/);
  const stream = client.chat.completions.stream(body);
  let input = "";
  for await (const chunk of stream) input += chunk.choices[0].delta.tool_calls?.[0].custom?.input ?? "";
  assert.equal(input, call.custom.input);
});

test("a streamed response is the whole one, and can be continued", async () => {
  const body = { model, input: "Say hello in Chinese.", max_output_tokens: 24, temperature: 0 };
  const whole = await client.responses.create(body);
  const stream = client.responses.stream(body);
  let said = "";
  let next = 0;
  for await (const event of stream) {
    assert.equal(event.sequence_number, next++);
    if (event.type === "response.output_text.delta") said += event.delta;
  }
  const final = await stream.finalResponse();
  assert.equal(said, whole.output_text);
  assert.equal(final.output_text, whole.output_text);
  const second = await client.responses.create({ ...body, input: "Again.", previous_response_id: final.id });
  assert.ok(second.usage.input_tokens > whole.usage.input_tokens);
});

test("a response is parsed", async () => {
  const Person = z.object({ name: z.string(), age: z.number() });
  const parsed = await client.responses.parse({
    model,
    input: "Ann is 34 years old.",
    temperature: 0,
    max_output_tokens: 100,
    text: { format: zodTextFormat(Person, "person") },
  });
  assert.equal(typeof parsed.output_parsed.age, "number");
});
