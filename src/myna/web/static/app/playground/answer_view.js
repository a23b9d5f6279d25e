// The content of an answer: as text, or token by token; its tool calls; its failure.
import { html } from "../html.js";
import { t } from "../language.js";
import { Markdown } from "../text/markdown.js";
import { canLeaveOut, leaveOutOldest } from "./context_meter.js";
import { begin, current } from "./conversations.js";
import { areShown } from "./probabilities.js";
import { ItemsView } from "./item_view.js";
import { TokenText } from "./token_text.js";
import { ToolCalls } from "./tool_calls.js";

/** @typedef {import("./values.js").Answer} Answer */

/** @param {{paneId: string, answer: Answer, isLast: boolean, onRetry: () => void}} props */
export function AnswerView({ paneId, answer, isLast, onRetry }) {
  const isWaiting = answer.state === "running" && answer.text === "" && answer.thought === "" && answer.toolCalls.length === 0;
  const isOpen = isLast && answer.state !== "running";
  return html`
    ${isWaiting && html`<p class="waiting" aria-hidden="true"><i /><i /><i /></p>`}
    ${answer.items ? html`<${ItemsView} paneId=${paneId} answer=${answer} isOpen=${isOpen} />` : html`<${Parts} paneId=${paneId} answer=${answer} isOpen=${isOpen} />`}
    <${Ending} paneId=${paneId} answer=${answer} onRetry=${onRetry} />
  `;
}

/** The parts of a chat's answer. @param {{paneId: string, answer: Answer, isOpen: boolean}} props */
function Parts({ paneId, answer, isOpen }) {
  return html`${answer.thought &&
    html`<details class="thought">
      <summary>${t("answer.thought")}</summary>
      <${Markdown} text=${answer.thought} />
    </details>`}
    ${answer.refusal && html`<p class="trouble">${answer.refusal}</p>`}
    <${Words} answer=${answer} />
    ${answer.toolCalls.length > 0 && html`<${ToolCalls} paneId=${paneId} answer=${answer} isOpen=${isOpen} />`}`;
}

/** @param {{answer: Pick<Answer, "text" | "tokens" | "state">}} props */
export function Words({ answer }) {
  if (!areShown.value) return html`<${Markdown} text=${answer.text} canRun />`;
  if (answer.tokens.length > 0) return html`<${TokenText} tokens=${answer.tokens} />`;
  return html`<${Markdown} text=${answer.text} canRun />
    ${answer.state !== "running" && answer.text !== "" && html`<p class="quiet">${t("tokens.none")}</p>`}`;
}

/** How it ended, if that needs a message. @param {{paneId: string, answer: Answer, onRetry: () => void}} props */
export function Ending({ paneId, answer, onRetry }) {
  if (answer.state === "stopped") return html`<p class="quiet">${t("answer.stopped")}</p>`;
  if (answer.state !== "failed" || !answer.failure) {
    const isEmpty = answer.state === "done" && answer.text === "" && answer.toolCalls.length === 0 && !answer.refusal;
    return isEmpty ? html`<p class="quiet">${t("answer.empty")}</p>` : null;
  }
  function shorter() {
    leaveOutOldest(paneId);
    onRetry();
  }
  return html`<div class="failure" role="alert">
    <p>${answer.failure.message}</p>
    <div class="row">
      <button type="button" onClick=${onRetry}>${t("answer.retry")}</button>
      ${isTooLong(answer) && canLeaveOut(paneOf(paneId)) && html`<button type="button" onClick=${shorter}>${t("context.dropAndRetry")}</button>`}
      ${isNoChatModel(answer) && html`<button type="button" onClick=${() => toCompletion(paneId)}>${t("answer.toCompletion")}</button>`}
    </div>
  </div>`;
}

/** @param {string} paneId */
const paneOf = (paneId) => current.value.panes.find((pane) => pane.id === paneId);

/** Whether the conversation exceeds the model's context. @param {Answer} answer */
const isTooLong = (answer) => current.value.mode !== "completion" && answer.failure?.code === "context_length_exceeded";

/** Whether the error is a missing chat template. @param {Answer} answer */
const isNoChatModel = (answer) =>
  current.value.mode !== "completion" && answer.failure?.status === 404 && answer.failure.code !== "model_not_found";

/** Use the last question as a text to complete. @param {string} paneId */
function toCompletion(paneId) {
  const pane = paneOf(paneId);
  const asked = pane?.turns.findLast((turn) => turn.role === "user");
  begin("completion", { model: pane?.model ?? "", prompt: asked?.text ?? "" });
}
