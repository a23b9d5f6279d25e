// The items of a response: read from the API, and sent back to it as the input of the next one.
import { chosenAnswer } from "./values.js";

/** @typedef {import("./values.js").Answer} Answer */
/** @typedef {import("./values.js").Item} Item */
/** @typedef {import("./values.js").Turn} Turn */

/** Where an item of each type has its text. @type {Record<string, (item: any) => string>} */
const TEXTS = {
  message: (item) => textOf(item.content),
  reasoning: (item) => textOf(item.content) || textOf(item.summary),
  function_call: (item) => item.arguments,
  custom_tool_call: (item) => item.input,
};

/** @param {any[] | undefined} parts */
const textOf = (parts) => (parts ?? []).map((part) => part.text ?? part.refusal ?? "").join("");

/** An output item of the API. @param {any} item @returns {Item} */
export function itemOf(item) {
  const text = TEXTS[item.type]?.(item) ?? "";
  const { id = "", type, status = "", name = "", call_id: callId = "" } = item;
  return { id, type, status, text, name, callId, tokens: [] };
}

/** The answer with these items, and with what the rest of the page reads of an answer. @param {Answer} answer @param {Item[]} items @returns {Answer} */
export function withItems(answer, items) {
  const join = (/** @type {string} */ type) => items.filter((item) => item.type === type).map((item) => item.text).join("\n\n");
  return {
    ...answer,
    items,
    text: join("message"),
    thought: join("reasoning"),
    toolCalls: items.filter(isCall).map(({ callId, name, text }) => ({ id: callId, name, arguments: text })),
    tokens: items.flatMap((item) => item.tokens),
  };
}

/** @param {Item} item */
export const isCall = (item) => item.type === "function_call" || item.type === "custom_tool_call";

/** The answer whose text was edited: it is no longer the stored response. @param {Answer} answer @param {string} text @returns {Answer} */
export function withText(answer, text) {
  const edited = { ...answer, text, tokens: [], responseId: "" };
  if (!answer.items) return edited;
  const first = answer.items.findIndex((item) => item.type === "message");
  const items = answer.items.filter((item, place) => item.type !== "message" || place === first);
  return { ...edited, items: items.map((item) => (item.type === "message" ? { ...item, text, tokens: [] } : item)) };
}

/** The turns as the input of a response. @param {Turn[]} turns */
export function inputOf(turns) {
  /** @type {Map<string, string>} */
  const calls = new Map();
  return turns
    .filter(({ isLeftOut }) => !isLeftOut)
    .flatMap((turn) => {
      if (turn.role === "user") return [{ type: "message", role: "user", content: turn.text }];
      if (turn.role === "tool") {
        const type = `${calls.get(turn.toolCallId) ?? "function_call"}_output`;
        return [{ type, call_id: turn.toolCallId, output: turn.text }];
      }
      const items = chosenAnswer(turn)?.items ?? [];
      for (const item of items.filter(isCall)) calls.set(item.callId, item.type);
      return items.filter((item) => item.text !== "" || isCall(item)).map(sent);
    });
}

/** @param {Item} item @returns {Record<string, any>} */
function sent({ type, text, name, callId }) {
  if (type === "message") return { type, role: "assistant", content: [{ type: "output_text", text, annotations: [] }] };
  if (type === "reasoning") return { type, summary: [], content: [{ type: "reasoning_text", text }] };
  return type === "function_call" ? { type, call_id: callId, name, arguments: text } : { type, call_id: callId, name, input: text };
}

/** A hash of the turns before an answer, which shows whether they have changed since. @param {Turn[]} turns */
export function fingerprint(turns) {
  let hash = 0x811c9dc5;
  for (const sign of JSON.stringify(inputOf(turns))) hash = Math.imul(hash ^ (sign.codePointAt(0) ?? 0), 0x01000193);
  return hash >>> 0;
}

/**
 * The last stored response that the turns continue, and what they add to it. One whose turns were edited or left
 * out since can't be continued.
 * @param {Turn[]} turns @returns {{previousId: string, input: any[]}}
 */
export function continued(turns) {
  const place = turns.findLastIndex((turn, at) => {
    const answer = turn.role === "assistant" ? chosenAnswer(turn) : undefined;
    return Boolean(answer?.responseId) && !turn.isLeftOut && answer?.heard === fingerprint(turns.slice(0, at));
  });
  const whole = inputOf(turns);
  if (place < 0) return { previousId: "", input: whole };
  const known = inputOf(turns.slice(0, place + 1)).length;
  return { previousId: chosenAnswer(/** @type {Turn} */ (turns[place]))?.responseId ?? "", input: whole.slice(known) };
}

/** The turns without the ids of responses, which the server has deleted. @param {Turn[]} turns @returns {Turn[]} */
export const forgotten = (turns) =>
  turns.map((turn) => ({ ...turn, answers: turn.answers.map((answer) => ({ ...answer, responseId: "" })) }));
