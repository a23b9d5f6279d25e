// Chooses a pane's model: the server's models with their details, and their aliases separately. A key that may
// not list models gets a text field instead.
import { capabilityWords } from "../capabilities.js";
import { html } from "../html.js";
import { number, t } from "../language.js";
import { answeringModels, refreshModels } from "../session.js";
import { sizeOf } from "../sizes.js";
import { preferences } from "../storage.js";
import { changePane } from "./conversations.js";

/** @typedef {import("../session.js").Model} Model */

/** @param {{pane: import("./values.js").Pane, label: string}} props */
export function ModelPicker({ pane, label }) {
  /** @param {any} event */
  function pick(event) {
    changePane(pane.id, (old) => ({ ...old, model: event.target.value }));
    preferences.set("model", event.target.value);
  }
  const listed = answeringModels();
  if (listed.length === 0) {
    return html`<input class="model" aria-label=${label} placeholder=${t("model.type")} value=${pane.model} onInput=${pick} />`;
  }
  const isKnown = listed.some(({ id }) => id === pane.model);
  const aliases = listed.filter((model) => model.alias_of);
  return html`<select class="model" aria-label=${label} value=${pane.model} onChange=${pick} onFocus=${refreshModels}>
    ${!isKnown && html`<option value=${pane.model}>${pane.model ? t("model.gone", { model: pane.model }) : t("model.none")}</option>`}
    <optgroup label=${t("model.models")}>
      ${listed.filter((model) => !model.alias_of).map((model) => html`<option key=${model.id} value=${model.id}>${wordsOf(model)}</option>`)}
    </optgroup>
    ${aliases.length > 0 &&
    html`<optgroup label=${t("model.aliases")}>
      ${aliases.map(({ id, alias_of }) => html`<option key=${id} value=${id}>${`${id} → ${alias_of}`}</option>`)}
    </optgroup>`}
  </select>`;
}

/** Its name, abilities, size, context, and whether it is loaded. @param {Model} model */
function wordsOf({ id, size_bytes: bytes, context_tokens: context, is_loaded: isLoaded, capabilities }) {
  const known = [
    capabilities && capabilityWords(capabilities),
    bytes && sizeOf(bytes),
    context && t("model.context", { tokens: number(context) }),
    isLoaded && t("model.loaded"),
  ];
  return [id, ...known.filter(Boolean)].join(" · ");
}
