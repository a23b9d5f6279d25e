// The server's models: their sizes, which are loaded, and buttons to load, unload and delete them.
import { ask } from "../api.js";
import { capabilityWords } from "../capabilities.js";
import { Fragment, html, useSignal } from "../html.js";
import { number, t } from "../language.js";
import { say } from "../notices.js";
import { refreshModels } from "../session.js";
import { sizeOf } from "../sizes.js";
import { Available } from "./available.js";
import { FormDialog } from "./dialog.js";
import { useResource } from "./resource.js";
import { Table } from "./table.js";
import { Trouble } from "./trouble.js";

/** @typedef {import("../session.js").Model} Model */

const EVERY_MS = 5000;
/** @type {import("./table.js").Column[]} */
const COLUMNS = [
  { word: "models.name", kind: "name" },
  { word: "models.size", kind: "figure" },
  { word: "models.context", kind: "figure" },
  { word: "models.capabilities" },
  { word: "models.state" },
  { word: "models.aliases" },
  { word: "models.actions", kind: "actions" },
];

export function Models() {
  const resource = useResource("v1/models?details=true", EVERY_MS);
  const deleted = useSignal(/** @type {Model | null} */ (null));
  const changing = useSignal(/** @type {string[]} */ ([]));
  const listed = /** @type {Model[]} */ (resource.data?.data ?? []);
  function changed() {
    resource.reload();
    refreshModels();
  }
  /** @param {Model} model @param {"load" | "unload"} act */
  async function change(model, act) {
    changing.value = [...changing.value, model.id];
    try {
      await ask("POST", `v1/organization/models/${encodeURIComponent(model.id)}/${act}`);
    } catch (error) {
      say(error instanceof Error ? error.message : String(error), { kind: "bad" });
    }
    changing.value = changing.value.filter((id) => id !== model.id);
    changed();
  }
  /** @param {Model} model */
  const cellsOf = (model) => [
    model.id,
    model.size_bytes ? sizeOf(model.size_bytes) : "–",
    model.context_tokens ? number(model.context_tokens) : "–",
    model.capabilities ? capabilityWords(model.capabilities) : "–",
    html`${model.problem && html`<span class="state bad">${model.problem}</span>`}<span class=${`state ${model.is_loaded ? "good" : ""}`}>${t(model.is_loaded ? "model.loaded" : "models.unloaded")}</span>`,
    listed.filter(({ alias_of }) => alias_of === model.id).map(({ id }) => id).join(", ") || "–",
    html`<${Action} word=${model.is_loaded ? "unload" : "load"} model=${model} isBusy=${changing.value.includes(model.id)} run=${() => change(model, model.is_loaded ? "unload" : "load")} />
      <${Action} word="delete" model=${model} isBusy=${changing.value.includes(model.id)} run=${() => (deleted.value = model)} />`,
  ];
  const rows = listed.filter((model) => !model.alias_of).map((model) => ({ key: model.id, cells: cellsOf(model) }));
  return html`<${Fragment}><section class="card" aria-labelledby="models">
    <h2 id="models">${t("dashboard.models")}</h2>
    <${Trouble} of=${resource} />
    ${rows.length > 0 && html`<${Table} label=${t("dashboard.models")} columns=${COLUMNS} rows=${rows} />`}
    <p class="quiet">${t("models.more")}</p>
    ${deleted.value && html`<${Delete} model=${deleted.value} onDone=${changed} onClose=${() => (deleted.value = null)} />`}
  </section><${Available} onChange=${changed} /><//>`;
}

/** @param {{word: "load" | "unload" | "delete", model: Model, isBusy: boolean, run: () => void}} props */
function Action({ word, model, isBusy, run }) {
  return html`<button type="button" aria-label=${t(`models.${word}Of`, { name: model.id })} disabled=${isBusy} onClick=${run}>
    ${t(isBusy && word !== "delete" ? "models.working" : `models.${word}`)}
  </button>`;
}

/** @param {{model: Model, onDone: () => void, onClose: () => void}} props */
function Delete({ model, onDone, onClose }) {
  async function remove() {
    await ask("DELETE", `v1/models/${encodeURIComponent(model.id)}`);
    onDone();
  }
  return html`<${FormDialog}
    title=${t("models.deleteTitle", { name: model.id })}
    action=${t("models.delete")}
    kind="bad"
    onSubmit=${remove}
    onClose=${onClose}
  >
    <p>${t("models.deleteHint")}</p>
  <//>`;
}
