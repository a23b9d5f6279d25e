// Builds the body of a pane's request, both for sending it and for showing it as code.
import { complaintOf } from "./json_checks.js";
import { JsonFault, parseJson } from "./json_text.js";
import { faultOf, parametersOf } from "./parameters.js";
import { inputBody, named, nested } from "./responses_body.js";
import { chosenAnswer } from "./values.js";

/** @typedef {import("./values.js").Pane} Pane */
/** @typedef {import("./values.js").Mode} Mode */
/** @typedef {import("./values.js").Turn} Turn */

/** @type {Record<Mode, string>} */
export const PATHS = { chat: "v1/chat/completions", responses: "v1/responses", completion: "v1/completions" };

/** The value of the parameter `name` can't be sent. */
export class BadParameter extends Error {
  /** @param {string} name */
  constructor(name) {
    super(name);
    this.name = name;
  }
}

/** The body for these turns. Throws `BadParameter`. @param {Mode} mode @param {Pane} pane @param {Turn[]} [turns] */
export function bodyOf(mode, pane, turns = pane.turns) {
  /** @type {Record<string, any>} */
  const body = { model: pane.model };
  if (mode === "chat") body.messages = messagesOf(pane.system, turns);
  else if (mode === "responses") Object.assign(body, inputBody(pane, turns));
  else body.prompt = pane.prompt;
  Object.assign(body, sentValues(mode, pane));
  const { stream = true } = pane.values;
  delete body.stream;
  if (stream && !isWhole(pane)) {
    body.stream = true;
    if (mode !== "responses") body.stream_options = { include_usage: true };
  }
  return body;
}

/** Whether the response can't be streamed: the best of several is known only at the end. @param {Pane} pane */
const isWhole = (pane) => (pane.values.best_of ?? 1) > (pane.values.n ?? 1);

/** @param {Mode} mode @param {Pane} pane */
function sentValues(mode, pane) {
  /** @type {Record<string, any>} */
  const sent = {};
  for (const parameter of parametersOf(mode)) {
    const { name, kind } = parameter;
    const value = pane.values[name];
    if (value === undefined) continue;
    if (kind === "json") sent[name] = jsonValue(parameter, value);
    else if (faultOf(parameter, value)) throw new BadParameter(name);
    else sent[name] = value;
    if (sent[name] === undefined) delete sent[name];
  }
  if (mode === "completion") return sent;
  const isSchema = (sent.response_format ?? sent["text.format"]) === "json_schema";
  if (isSchema && sent.json_schema === undefined) throw new BadParameter("json_schema");
  return mode === "chat" ? structured(sent) : nested(sent);
}

/** @param {import("./parameters.js").Parameter} parameter @param {string} text */
function jsonValue({ name, check = name }, text) {
  if (text.trim() === "") return undefined;
  try {
    const value = parseJson(text);
    if (complaintOf(check, value)) throw new BadParameter(name);
    return value;
  } catch (error) {
    throw error instanceof JsonFault ? new BadParameter(name) : error;
  }
}

/** The editors' values in the form that the request needs. @param {Record<string, any>} sent */
function structured({ json_schema: schema, ...sent }) {
  if (sent.response_format === "json_schema") {
    sent.response_format = { type: "json_schema", json_schema: named(schema) };
  } else if (sent.response_format !== undefined) {
    sent.response_format = { type: sent.response_format };
  }
  if (sent.tools?.length === 0) delete sent.tools;
  if (sent.tools === undefined) {
    delete sent.tool_choice;
    delete sent.parallel_tool_calls;
  } else if (sent.tool_choice !== undefined && !["auto", "none", "required"].includes(sent.tool_choice)) {
    sent.tool_choice = { type: "function", function: { name: sent.tool_choice } };
  }
  if (sent.prediction === "") delete sent.prediction;
  if (sent.prediction !== undefined) sent.prediction = { type: "content", content: sent.prediction };
  if (!sent.logprobs) delete sent.top_logprobs;
  return sent;
}

/** The conversation as the API's messages. @param {string} system @param {Turn[]} turns */
export function messagesOf(system, turns) {
  /** @type {Record<string, any>[]} */
  const messages = system ? [{ role: "system", content: system }] : [];
  for (const turn of turns.filter(({ isLeftOut }) => !isLeftOut)) {
    if (turn.role === "user") messages.push({ role: "user", content: turn.text });
    else if (turn.role === "tool") messages.push({ role: "tool", tool_call_id: turn.toolCallId, content: turn.text });
    else {
      const message = assistantMessage(turn);
      if (message) messages.push(message);
    }
  }
  return messages;
}

/** @param {Turn} turn */
function assistantMessage(turn) {
  const answer = chosenAnswer(turn);
  if (!answer || (answer.text === "" && answer.toolCalls.length === 0)) return null;
  if (answer.toolCalls.length === 0) return { role: "assistant", content: answer.text };
  const calls = answer.toolCalls.map((call) => ({
    id: call.id,
    type: "function",
    function: { name: call.name, arguments: call.arguments },
  }));
  return { role: "assistant", content: answer.text || null, tool_calls: calls };
}
