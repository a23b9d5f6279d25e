// A turn of the model: one of its answers, buttons for the others, and its actions.
import { html, useSignal } from "../html.js";
import { Icon } from "../icons.js";
import { t } from "../language.js";
import { say } from "../notices.js";
import { CopyButton } from "../text/copy_button.js";
import { AnswerView } from "./answer_view.js";
import { run } from "./answering.js";
import { changePane, changeTurn, current, restore } from "./conversations.js";
import { withText } from "./items.js";
import { Measures } from "./measures.js";
import { removeTurn } from "./said_turn.js";
import { TurnEditor } from "./turn_editor.js";
import { chosenAnswer, cutAfter } from "./values.js";

/** @typedef {import("./values.js").Turn} Turn */

/** @param {{paneId: string, turn: Turn, isLast: boolean, isBusy: boolean}} props */
export function AnswerTurn({ paneId, turn, isLast, isBusy }) {
  const isEdited = useSignal(false);
  const answer = chosenAnswer(turn);
  if (!answer) return null;

  function again() {
    const before = current.value;
    changePane(paneId, (pane) => cutAfter(pane, turn.id));
    run(paneId, turn.id);
    if (!isLast) say(t("turn.cut"), { action: { label: t("store.undo"), run: () => restore(before) } });
  }
  /** An edited text no longer has the model's tokens. @param {string} text */
  function save(text) {
    changeTurn(paneId, turn.id, (old) => ({
      ...old,
      answers: old.answers.map((other) => (other === answer ? withText(other, text) : other)),
    }));
    isEdited.value = false;
  }

  return html`<article class=${turn.isLeftOut ? "turn assistant left-out" : "turn assistant"} aria-label=${t("turn.assistant", { model: answer.model })} aria-busy=${answer.state === "running"}>
    <h2 class="who quiet">${answer.model}</h2>
    ${isEdited.value
      ? html`<${TurnEditor} text=${answer.text} onSave=${save} onAskAgain=${null} onCancel=${() => (isEdited.value = false)} />`
      : html`<${AnswerView} paneId=${paneId} answer=${answer} isLast=${isLast} onRetry=${again} />`}
    ${answer.state !== "running" &&
    html`<div class="turn-tools">
      <${Versions} paneId=${paneId} turn=${turn} />
      <button type="button" class="icon" aria-label=${t("turn.again")} title=${t("turn.again")} disabled=${isBusy} onClick=${again}><${Icon} name="again" /></button>
      <button type="button" class="icon" aria-label=${t("turn.edit")} title=${t("turn.edit")} disabled=${isBusy} onClick=${() => (isEdited.value = true)}><${Icon} name="edit" /></button>
      <${CopyButton} text=${answer.text} />
      <button type="button" class="icon" aria-label=${t("turn.delete")} title=${t("turn.delete")} disabled=${isBusy} onClick=${() => removeTurn(paneId, turn.id)}><${Icon} name="trash" /></button>
      <${Measures} answer=${answer} />
    </div>`}
  </article>`;
}

/** Buttons for the previous and next of several answers. @param {{paneId: string, turn: Turn}} props */
export function Versions({ paneId, turn }) {
  const count = turn.answers.length;
  if (count < 2) return null;
  /** @param {number} step */
  const go = (step) => changeTurn(paneId, turn.id, (old) => ({ ...old, chosen: old.chosen + step }));
  return html`<span class="versions" role="group" aria-label=${t("versions.label")}>
    <button type="button" class="icon" aria-label=${t("versions.before")} disabled=${turn.chosen === 0} onClick=${() => go(-1)}><${Icon} name="left" /></button>
    <span aria-live="polite">${turn.chosen + 1}/${count}</span>
    <button type="button" class="icon" aria-label=${t("versions.next")} disabled=${turn.chosen === count - 1} onClick=${() => go(1)}><${Icon} name="right" /></button>
  </span>`;
}
