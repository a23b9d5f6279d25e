// Builds the answer in a response of the Responses API: folds in each event of a stream, or a complete body.
import { chatToken, timed } from "./folding.js";
import { itemOf, withItems } from "./items.js";
import { newAnswer } from "./values.js";

/** @typedef {import("./values.js").Answer} Answer */
/** @typedef {import("./values.js").Item} Item */

const LAST = ["response.completed", "response.incomplete", "response.failed"];
const DELTAS = [
  "response.output_text.delta",
  "response.refusal.delta",
  "response.reasoning_text.delta",
  "response.reasoning_summary_text.delta",
  "response.function_call_arguments.delta",
  "response.custom_tool_call_input.delta",
];

/** Whether no event of the stream follows. @param {any} event */
export const isLastEvent = (event) => LAST.includes(event.type);

/** The answer after one event of the stream, `nowMs` after the request. @param {Answer[]} answers @param {any} event @param {number} nowMs @returns {Answer[]} */
export function foldItemEvent([answer = newAnswer("")], event, nowMs) {
  if (event.response) return [ended(answer, event.response)];
  const items = [...(answer.items ?? [])];
  const before = items[event.output_index];
  if (event.type === "response.output_item.added") items[event.output_index] = itemOf(event.item);
  else if (event.type === "response.output_item.done") items[event.output_index] = { ...itemOf(event.item), tokens: before?.tokens ?? [] };
  else if (DELTAS.includes(event.type) && before) items[event.output_index] = grown(before, event);
  else return [answer];
  return [timed(withItems(answer, items), nowMs)];
}

/** The answer in a complete body. @param {any} body @param {number} nowMs @returns {Answer[]} */
export function foldItems(body, nowMs) {
  const items = body.output.map((/** @type {any} */ item) => ({ ...itemOf(item), tokens: tokensOf(item) }));
  return [timed(ended(withItems(newAnswer(body.model), items), body), nowMs)];
}

/** @param {Item} item @param {any} event @returns {Item} */
function grown(item, { delta, logprobs }) {
  return { ...item, text: item.text + delta, tokens: logprobs?.length ? [...item.tokens, ...logprobs.map(chatToken)] : item.tokens };
}

/** @param {any} item */
const tokensOf = (item) => (item.content ?? []).flatMap((/** @type {any} */ part) => (part.logprobs ?? []).map(chatToken));

/** What the response object adds; one that isn't stored can't be continued. @param {Answer} answer @param {any} response @returns {Answer} */
function ended(answer, { id, model, store, usage, incomplete_details: details }) {
  const counts = usage && {
    promptTokens: usage.input_tokens,
    completionTokens: usage.output_tokens,
    cachedTokens: usage.input_tokens_details?.cached_tokens ?? 0,
  };
  return {
    ...answer,
    model,
    responseId: usage && store ? id : "",
    finish: details?.reason === "max_output_tokens" ? "length" : answer.finish,
    measures: { ...answer.measures, ...counts },
  };
}
