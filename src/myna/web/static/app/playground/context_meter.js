// How much of the model's context the conversation uses, and how to continue when it is full: without the oldest
// turns, which stay in the conversation but aren't sent.
import { html } from "../html.js";
import { number, t } from "../language.js";
import { say } from "../notices.js";
import { findModel } from "../session.js";
import { changePane, current, restore } from "./conversations.js";
import { letterOf } from "./chat_pane.js";
import { chosenAnswer } from "./values.js";

/** @typedef {import("./values.js").Pane} Pane */
/** @typedef {import("./values.js").Turn} Turn */

const NEARLY_FULL = 0.9;
/** The fraction of the sent text that is left out at a time. */
const SHARE = 0.34;

/** A meter for each pane with a known context size. */
export function ContextMeters() {
  const { panes } = current.value;
  return panes.map((pane, place) => html`<${ContextMeter} key=${pane.id} pane=${pane} letter=${panes.length > 1 ? letterOf(place) : ""} />`);
}

/** @param {{pane: Pane, letter: string}} props */
function ContextMeter({ pane, letter }) {
  const context = findModel(pane.model)?.context_tokens ?? 0;
  const used = usedTokens(pane);
  if (!context || !used) return null;
  const share = used / context;
  const words = t("context.used", { used: number(used), context: number(context) });
  return html`<div class="context row">
    ${letter && html`<span>${letter}</span>`}
    <meter min="0" max="1" high=${NEARLY_FULL} value=${Math.min(1, share)} aria-label=${t("context.label")}>${words}</meter>
    <span class="quiet">${words}</span>
    ${share >= NEARLY_FULL && canLeaveOut(pane) && html`<button type="button" onClick=${() => leaveOutOldest(pane.id)}>${t("context.drop")}</button>`}
  </div>`;
}

/** The tokens of the last finished answer and everything before it. @param {Pane} pane */
function usedTokens(pane) {
  const last = pane.turns.at(-1);
  const answers = pane.turns.map(chosenAnswer).filter((answer) => answer && answer.measures.promptTokens > 0);
  const answer = answers.at(-1);
  if (!last || !answer || pane.turns.every((turn) => turn.isLeftOut)) return 0;
  return answer.measures.promptTokens + answer.measures.completionTokens;
}

/** The turns that are sent, grouped from each question to the next. @param {Turn[]} turns @returns {Turn[][]} */
function exchangesOf(turns) {
  /** @type {Turn[][]} */
  const exchanges = [];
  for (const turn of turns) {
    if (turn.isLeftOut) continue;
    if (turn.role === "user" || exchanges.length === 0) exchanges.push([turn]);
    else exchanges.at(-1)?.push(turn);
  }
  return exchanges;
}

/** @param {Turn} turn */
const lengthOf = (turn) => turn.text.length + (chosenAnswer(turn)?.text.length ?? 0);
/** @param {Turn[]} turns */
const sumOf = (turns) => turns.reduce((sum, turn) => sum + lengthOf(turn), 0);

/** Whether anything except the last question and its answer is sent. @param {Pane | undefined} pane */
export const canLeaveOut = (pane) => exchangesOf(pane?.turns ?? []).length > 1;

/** Stop sending the oldest questions and answers: about a third of the text, never the last question. @param {string} paneId */
export function leaveOutOldest(paneId) {
  const before = current.value;
  changePane(paneId, (pane) => {
    const older = exchangesOf(pane.turns).slice(0, -1);
    const most = sumOf(exchangesOf(pane.turns).flat()) * SHARE;
    let sum = 0;
    /** @type {Set<string>} */
    const dropped = new Set();
    for (const exchange of older) {
      if (sum >= most && dropped.size) break;
      sum += sumOf(exchange);
      for (const turn of exchange) dropped.add(turn.id);
    }
    return { ...pane, turns: pane.turns.map((turn) => (dropped.has(turn.id) ? { ...turn, isLeftOut: true } : turn)) };
  });
  say(t("context.dropped"), { action: { label: t("store.undo"), run: () => restore(before) } });
}
