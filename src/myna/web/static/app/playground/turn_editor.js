// An editor for the text of a turn, with its actions.
import { html, useEffect, useRef, useSignal } from "../html.js";
import { t } from "../language.js";
import { useGrowing } from "./growing_field.js";

/** @param {{text: string, onSave: (text: string) => void, onAskAgain: ((text: string) => void) | null, onCancel: () => void}} props */
export function TurnEditor({ text, onSave, onAskAgain, onCancel }) {
  const draft = useSignal(text);
  const field = useRef(/** @type {HTMLTextAreaElement | null} */ (null));
  useEffect(() => field.current?.focus(), []);
  useGrowing(field, draft.value);
  /** @param {KeyboardEvent} event */
  function press(event) {
    if (event.key === "Escape") onCancel();
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) (onAskAgain ?? onSave)(draft.value);
  }
  return html`<div class="turn-editor">
    <textarea
      ref=${field}
      rows="2"
      dir="auto"
      aria-label=${t("turn.text")}
      value=${draft.value}
      onInput=${(/** @type {any} */ event) => (draft.value = event.target.value)}
      onKeyDown=${press}
    />
    <div class="row">
      ${onAskAgain && html`<button type="button" class="primary" onClick=${() => onAskAgain(draft.value)}>${t("turn.saveAsk")}</button>`}
      <button type="button" onClick=${() => onSave(draft.value)}>${t("turn.save")}</button>
      <button type="button" class="icon" onClick=${onCancel}>${t("turn.cancel")}</button>
    </div>
  </div>`;
}
