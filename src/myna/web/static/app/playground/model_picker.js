// Which model a pane asks. A key that may not list models types the name instead.
import { html } from "../html.js";
import { t } from "../language.js";
import { models } from "../session.js";
import { preferences } from "../storage.js";
import { changePane } from "./conversations.js";

/** @param {{pane: import("./values.js").Pane, label: string}} props */
export function ModelPicker({ pane, label }) {
  /** @param {any} event */
  function pick(event) {
    changePane(pane.id, (old) => ({ ...old, model: event.target.value }));
    preferences.set("model", event.target.value);
  }
  const names = models.value.map((model) => model.id);
  if (names.length === 0) {
    return html`<input class="model" aria-label=${label} placeholder=${t("model.type")} value=${pane.model} onInput=${pick} />`;
  }
  const isKnown = names.includes(pane.model);
  return html`<select class="model" aria-label=${label} value=${pane.model} onChange=${pick}>
    ${!isKnown && html`<option value=${pane.model}>${pane.model ? t("model.gone", { model: pane.model }) : t("model.none")}</option>`}
    ${names.map((name) => html`<option key=${name} value=${name}>${name}</option>`)}
  </select>`;
}
