// A turn of the user or a tool; it can be edited, and the answer regenerated from there.
import { html, useSignal } from "../html.js";
import { Icon } from "../icons.js";
import { number, t } from "../language.js";
import { say } from "../notices.js";
import { CopyButton } from "../text/copy_button.js";
import { answer } from "./answering.js";
import { changePane, changeTurn, current, restore } from "./conversations.js";
import { ItemType } from "./item_view.js";
import { TurnEditor } from "./turn_editor.js";
import { cutAfter } from "./values.js";

const [MOST_CHARACTERS, MOST_LINES] = [1200, 12];

/** @param {{paneId: string, turn: import("./values.js").Turn, isLast: boolean, isBusy: boolean}} props */
export function SaidTurn({ paneId, turn, isLast, isBusy }) {
  const isEdited = useSignal(false);
  const who = t(turn.role === "tool" ? "turn.tool" : "turn.user");

  /** @param {string} text */
  function save(text) {
    changeTurn(paneId, turn.id, (old) => ({ ...old, text }));
    isEdited.value = false;
  }
  /** @param {string} text */
  function askAgain(text) {
    const before = current.value;
    save(text);
    changePane(paneId, (pane) => cutAfter(pane, turn.id));
    answer(paneId);
    if (!isLast) say(t("turn.cut"), { action: { label: t("store.undo"), run: () => restore(before) } });
  }

  if (isEdited.value) {
    return html`<article class=${`turn ${turn.role}`} aria-label=${who}>
      <${TurnEditor} text=${turn.text} onSave=${save} onAskAgain=${isBusy ? null : askAgain} onCancel=${() => (isEdited.value = false)} />
    </article>`;
  }
  return html`<article class=${`turn ${turn.role} ${turn.isLeftOut ? "left-out" : ""}`} aria-label=${who}>
    ${current.value.mode === "responses" && html`<${ItemType} type=${turn.role === "tool" ? "function_call_output" : "message"} />`}
    ${turn.role === "tool" && html`<p class="quiet">${who}</p>`}
    <${Said} text=${turn.text} />
    ${turn.isLeftOut && html`<p class="quiet">${t("context.leftOut")}</p>`}
    <div class="turn-tools">
      <button type="button" class="icon" aria-label=${t("turn.edit")} title=${t("turn.edit")} onClick=${() => (isEdited.value = true)}><${Icon} name="edit" /></button>
      <${CopyButton} text=${turn.text} />
      <button type="button" class="icon" aria-label=${t("turn.delete")} title=${t("turn.delete")} disabled=${isBusy} onClick=${() => removeTurn(paneId, turn.id)}><${Icon} name="trash" /></button>
      ${isLast &&
      html`<button type="button" class="icon" aria-label=${t("turn.again")} title=${t("turn.again")} disabled=${isBusy} onClick=${() => answer(paneId)}><${Icon} name="again" /></button>`}
    </div>
  </article>`;
}

/** A text; a long one is collapsed. @param {{text: string}} props */
function Said({ text }) {
  const isWhole = useSignal(false);
  const isLong = text.length > MOST_CHARACTERS || text.split("\n", MOST_LINES + 1).length > MOST_LINES;
  const isFolded = isLong && !isWhole.value;
  return html`<div class=${isFolded ? "said folded" : "said"} dir="auto">${isFolded ? beginningOf(text) : text}</div>
    ${isLong &&
    html`<button type="button" class="link" aria-expanded=${isWhole.value} onClick=${() => (isWhole.value = !isWhole.value)}>
      ${isWhole.value ? t("turn.fold") : t("turn.whole", { count: number(text.length) })}
    </button>`}`;
}

/** @param {string} text */
const beginningOf = (text) => text.slice(0, MOST_CHARACTERS).split("\n", MOST_LINES).join("\n");

/** @param {string} paneId @param {string} turnId */
export function removeTurn(paneId, turnId) {
  const before = current.value;
  changePane(paneId, (pane) => ({ ...pane, turns: pane.turns.filter((turn) => turn.id !== turnId) }));
  say(t("turn.deleted"), { action: { label: t("store.undo"), run: () => restore(before) } });
}
