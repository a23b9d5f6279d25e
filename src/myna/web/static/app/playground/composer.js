// The field for the next question, which is sent to every pane; its button also stops the answers.
import { html, useEffect, useRef, useSignal } from "../html.js";
import { Icon } from "../icons.js";
import { t } from "../language.js";
import { ask, isAnyRunning, obstacle, stop } from "./answering.js";
import { change, current } from "./conversations.js";
import { ContextMeters } from "./context_meter.js";
import { useGrowing } from "./growing_field.js";
import { wordOfName } from "./parameter_words.js";

export function Composer() {
  const { draft } = current.value;
  const hasAsked = useSignal(false);
  const field = useRef(/** @type {HTMLTextAreaElement | null} */ (null));
  useEffect(() => field.current?.focus(), []);
  useGrowing(field, draft);
  const isBusy = isAnyRunning();

  function send() {
    if (isBusy || draft.trim() === "") return;
    if (!ask(draft)) return;
    change((old) => ({ ...old, draft: "" }));
    hasAsked.value = true;
  }
  /** @param {KeyboardEvent} event */
  function press(event) {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    send();
  }
  return html`<form
    class="composer"
    onSubmit=${(/** @type {Event} */ event) => {
      event.preventDefault();
      send();
    }}
  >
    ${obstacle.value && html`<p class="trouble" role="alert">${t("composer.obstacle", { name: t(wordOfName(obstacle.value.name)) })}</p>`}
    <p class="unseen" role="status">${isBusy ? t("answer.waiting") : hasAsked.value ? t("answer.ended") : ""}</p>
    <${ContextMeters} />
    <div class="composer-box">
      <textarea
        ref=${field}
        rows="1"
        dir="auto"
        aria-label=${t("composer.label")}
        placeholder=${t("composer.hint")}
        value=${draft}
        onInput=${(/** @type {any} */ event) => change((old) => ({ ...old, draft: event.target.value }))}
        onKeyDown=${press}
      />
      ${isBusy
        ? html`<button type="button" class="primary round" aria-label=${t("composer.stop")} title=${t("composer.stop")} onClick=${() => stop(current.value.panes)}><${Icon} name="stop" /></button>`
        : html`<button type="submit" class="primary round" aria-label=${t("composer.send")} title=${t("composer.send")} disabled=${draft.trim() === ""}><${Icon} name="send" /></button>`}
    </div>
  </form>`;
}
