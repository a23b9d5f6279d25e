// The dialogs that create, rotate and revoke keys, and the only place where a new key is shown.
import { ask } from "../api.js";
import { html, useSignal } from "../html.js";
import { t } from "../language.js";
import { models } from "../session.js";
import { CopyButton } from "../text/copy_button.js";
import { Field, FormDialog } from "./dialog.js";

const SCOPES = ["inference", "read", "admin", "priority"];
const DEFAULT_PROJECT = "default";
const OWN = "own";
const DAY_S = 86_400;

/** @param {{project_id: string, id: string}} key */
export const pathOf = (key) => `v1/organization/projects/${encodeURIComponent(key.project_id)}/api_keys/${encodeURIComponent(key.id)}`;

/** @param {{project: {id: string, name: string}, onMade: (value: string, projectId: string) => void, onClose: () => void}} props */
export function CreateKey({ project, onMade, onClose }) {
  const [name, days] = [useSignal(""), useSignal("")];
  const place = useSignal(project.id === DEFAULT_PROJECT ? OWN : project.id);
  const [scopes, allowed] = [useSignal(["inference"]), useSignal(/** @type {string[]} */ ([]))];
  async function make() {
    /** @type {Record<string, unknown>} */
    const body = { name: name.value.trim(), scopes: scopes.value };
    if (allowed.value.length) body.models = allowed.value;
    if (days.value) body.expires_in_seconds = Math.round(Number(days.value) * DAY_S);
    const id = place.value === OWN ? await ownProject(name.value.trim(), scopes.value) : project.id;
    const path = `v1/organization/projects/${encodeURIComponent(id)}/api_keys`;
    onMade((await ask("POST", path, body)).value, id);
  }
  return html`<${FormDialog} title=${t("keys.create")} action=${t("keys.create")} onSubmit=${make} onClose=${onClose}>
    <${Field} label=${t("keys.name")} value=${name} placeholder=${t("keys.nameExample")} isRequired />
    <div class="field">
      <label for="key-project">${t("keys.project")}</label>
      <select id="key-project" value=${place.value} onChange=${(/** @type {any} */ event) => (place.value = event.target.value)}>
        <option value=${OWN}>${t("keys.ownProject")}</option>
        <option value=${project.id}>${project.name}</option>
      </select>
      <p class="quiet">${t("keys.projectHint")}</p>
    </div>
    <${Ticks} label=${t("keys.scopes")} names=${SCOPES} chosen=${scopes} wordOf=${(/** @type {string} */ scope) => t(`scope.${scope}`)} />
    ${models.value.length > 0 &&
    html`<${Ticks} label=${t("keys.models")} names=${models.value.map((model) => model.id)} chosen=${allowed} wordOf=${(/** @type {string} */ id) => id} />`}
    <${Field} label=${t("keys.days")} hint=${t("keys.daysHint")} value=${days} type="number" />
  <//>`;
}

/** Create a project, unless the key can't store anything. @param {string} name @param {string[]} scopes @returns {Promise<string>} */
async function ownProject(name, scopes) {
  if (!scopes.includes("inference")) return DEFAULT_PROJECT;
  return (await ask("POST", "v1/organization/projects", { name })).id;
}

/** @param {{label: string, names: string[], chosen: {value: string[]}, wordOf: (name: string) => string}} props */
function Ticks({ label, names, chosen, wordOf }) {
  /** @param {string} name @param {boolean} isOn */
  function tick(name, isOn) {
    chosen.value = names.filter((other) => (other === name ? isOn : chosen.value.includes(other)));
  }
  return html`<fieldset class="ticks">
    <legend class="label">${label}</legend>
    ${names.map(
      (name) => html`<label key=${name}>
        <input type="checkbox" checked=${chosen.value.includes(name)} onChange=${(/** @type {any} */ event) => tick(name, event.target.checked)} />
        ${wordOf(name)}
      </label>`,
    )}
  </fieldset>`;
}

/** The key itself, shown only once. @param {{value: string, onClose: () => void}} props */
export function NewKey({ value, onClose }) {
  return html`<div class="new-key" role="status">
    <p>${t("keys.once")}</p>
    <div class="with-button">
      <code tabindex="0">${value}</code>
      <${CopyButton} text=${value} label=${t("keys.copy")} hasWords />
      <button type="button" onClick=${onClose}>${t("keys.kept")}</button>
    </div>
  </div>`;
}

/** @param {{of: any, onMade: (value: string) => void, onClose: () => void}} props */
export function RotateKey({ of, onMade, onClose }) {
  const minutes = useSignal("60");
  async function rotate() {
    const body = { overlap_seconds: Math.round(Number(minutes.value || 0) * 60) };
    onMade((await ask("POST", `${pathOf(of)}/rotate`, body)).value);
  }
  return html`<${FormDialog} title=${t("keys.rotateTitle", { name: of.name })} action=${t("keys.rotate")} onSubmit=${rotate} onClose=${onClose}>
    <${Field} label=${t("keys.overlap")} hint=${t("keys.overlapHint")} value=${minutes} type="number" />
  <//>`;
}

/** @param {{of: any, onDone: () => void, onClose: () => void}} props */
export function RevokeKey({ of, onDone, onClose }) {
  async function revoke() {
    await ask("DELETE", pathOf(of));
    onDone();
  }
  return html`<${FormDialog}
    title=${t("keys.revokeTitle", { name: of.name })}
    action=${t("keys.revoke")}
    kind="bad"
    onSubmit=${revoke}
    onClose=${onClose}
  >
    <p>${t("keys.revokeHint")}</p>
  <//>`;
}
