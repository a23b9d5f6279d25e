// The playground's data types: a conversation, its panes, turns and answers. All are immutable: a change
// makes a new value.

/** @typedef {"chat" | "responses" | "completion"} Mode */
/** @type {Mode[]} */
export const MODES = ["chat", "responses", "completion"];

/** @typedef {{text: string, logprob: number}} Alternative */
/** @typedef {{text: string, logprob: number | null, top: Alternative[]}} Token */
/** @typedef {{id: string, name: string, arguments: string}} ToolCall */
/** An item of a response. `text` is what it says: of a call, the arguments or the input.
 * @typedef {{id: string, type: string, status: string, text: string, name: string, callId: string, tokens: Token[]}} Item */
/** @typedef {{message: string, status: number, code: string | null}} Failure */
/**
 * Times in ms on the browser's clock; tokens as counted by the server.
 * @typedef {{firstMs: number | null, lastMs: number | null, promptTokens: number, completionTokens: number,
 *   cachedTokens: number}} Measures
 */
/**
 * One answer of a model, complete or in progress. `finish` is the server's finish reason. In responses mode it has
 * `items`, from which the other texts are derived; `responseId` is empty if the server hasn't stored it; `heard` is
 * the fingerprint of the turns before it.
 * @typedef {{id: string, model: string, state: "running" | "done" | "stopped" | "failed", thought: string, text: string,
 *   refusal: string, toolCalls: ToolCall[], tokens: Token[], finish: string, failure: Failure | null,
 *   measures: Measures, items?: Item[], responseId?: string, heard?: number}} Answer
 */
/**
 * `text` is for turns of the user or a tool, `answers` for the assistant's; `chosen` is the current one. A turn that
 * `isLeftOut` is shown but no longer sent.
 * @typedef {{id: string, role: "user" | "assistant" | "tool", text: string, toolCallId: string,
 *   answers: Answer[], chosen: number, isLeftOut?: boolean}} Turn
 */
/** A parameter that isn't in `values` isn't sent. @typedef {Record<string, any>} Values */
/**
 * One model with its settings and messages. In completion mode, `prompt` is the text and the only
 * turn holds its continuations.
 * @typedef {{id: string, model: string, system: string, prompt: string, values: Values, turns: Turn[]}} Pane
 */
/**
 * `draft` is the message being written.
 * @typedef {{id: string, title: string, mode: Mode, created: number, updated: number, draft: string, panes: Pane[]}} Conversation
 */

/** A unique id. crypto.randomUUID requires HTTPS; this works on any origin. */
export function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(12));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** @param {string} model @returns {Pane} */
export function newPane(model) {
  return { id: newId(), model, system: "", prompt: "", values: {}, turns: [] };
}

/** @param {Mode} mode @param {string} model @returns {Conversation} */
export function newConversation(mode, model) {
  const now = Date.now();
  return { id: newId(), title: "", mode, created: now, updated: now, draft: "", panes: [newPane(model)] };
}

/** @param {string} model @returns {Answer} */
export function newAnswer(model) {
  return {
    id: newId(),
    model,
    state: "running",
    thought: "",
    text: "",
    refusal: "",
    toolCalls: [],
    tokens: [],
    finish: "",
    failure: null,
    measures: { firstMs: null, lastMs: null, promptTokens: 0, completionTokens: 0, cachedTokens: 0 },
  };
}

/** @param {"user" | "tool"} role @param {string} text @param {string} [toolCallId] @returns {Turn} */
export function saidTurn(role, text, toolCallId = "") {
  return { id: newId(), role, text, toolCallId, answers: [], chosen: 0 };
}

/** @param {Answer[]} answers @returns {Turn} */
export function answerTurn(answers) {
  return { id: newId(), role: "assistant", text: "", toolCallId: "", answers, chosen: 0 };
}

/** The turn's current answer. @param {Turn} turn @returns {Answer | undefined} */
export const chosenAnswer = (turn) => turn.answers[turn.chosen];

/** Whether it has no messages, prompt or draft yet. @param {Conversation} conversation */
export const isEmpty = (conversation) =>
  conversation.draft === "" && conversation.panes.every((pane) => pane.turns.length === 0 && pane.prompt === "");

/** @param {Conversation} conversation @param {string} paneId @param {(pane: Pane) => Pane} change */
export function withPane(conversation, paneId, change) {
  const panes = conversation.panes.map((pane) => (pane.id === paneId ? change(pane) : pane));
  return { ...conversation, panes, updated: Date.now() };
}

/** @param {Pane} pane @param {string} turnId @param {(turn: Turn) => Turn} change @returns {Pane} */
export function withTurn(pane, turnId, change) {
  return { ...pane, turns: pane.turns.map((turn) => (turn.id === turnId ? change(turn) : turn)) };
}

/** The pane without the turns after that one; if `inclusive`, without it, too. @param {Pane} pane @param {string} turnId @param {boolean} [inclusive] @returns {Pane} */
export function cutAfter(pane, turnId, inclusive = false) {
  const place = pane.turns.findIndex((turn) => turn.id === turnId);
  return place < 0 ? pane : { ...pane, turns: pane.turns.slice(0, place + (inclusive ? 0 : 1)) };
}

/** A short title from the first message. @param {Conversation} conversation */
export function titleOf(conversation) {
  if (conversation.title) return conversation.title;
  const first = conversation.panes[0];
  const said = first?.turns.find((turn) => turn.role === "user")?.text || first?.prompt || conversation.draft;
  const line = said.trim().split("\n")[0] ?? "";
  return line.length > 60 ? `${line.slice(0, 59)}…` : line;
}
