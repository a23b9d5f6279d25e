// Access to the server: projects, their keys, and their limits.
import { ask } from "../api.js";
import { html, useSignal } from "../html.js";
import { moment, t } from "../language.js";
import { say } from "../notices.js";
import { Field, FormDialog } from "./dialog.js";
import { CreateKey, NewKey, pathOf, RevokeKey, RotateKey } from "./key_dialogs.js";
import { Limits } from "./limit_dialog.js";
import { useResource } from "./resource.js";
import { day } from "./shown.js";
import { Table } from "./table.js";
import { Trouble } from "./trouble.js";

/** @type {import("./table.js").Column[]} */
const COLUMNS = [
  { word: "keys.name", kind: "name" },
  { word: "keys.key" },
  { word: "keys.scopes" },
  { word: "keys.models" },
  { word: "keys.used" },
  { word: "keys.ends" },
  { word: "keys.actions", kind: "actions" },
];

/** @param {{projects: import("./resource.js").Resource, onChange: () => void}} props */
export function Keys({ projects, onChange }) {
  const chosen = useSignal("default");
  const open = useSignal(/** @type {any} */ (null));
  const made = useSignal("");
  const listed = projects.data?.data ?? [];
  const project = listed.find((/** @type {any} */ found) => found.id === chosen.value) ?? listed[0];
  const path = project ? `v1/organization/projects/${encodeURIComponent(project.id)}` : "";
  const keys = useResource(path && `${path}/api_keys?limit=100`);
  const close = () => (open.value = null);
  function changed(/** @type {string} */ value = "") {
    made.value = value;
    keys.reload();
    onChange();
  }
  function created(/** @type {string} */ value, /** @type {string} */ projectId) {
    if (projectId !== project.id) projects.reload();
    chosen.value = projectId;
    changed(value);
  }
  return html`<section class="card" aria-labelledby="keys">
    <div class="bar">
      <h2 id="keys" class="grow">${t("dashboard.keys")}</h2>
      <select aria-label=${t("keys.project")} value=${project?.id} onChange=${(/** @type {any} */ event) => (chosen.value = event.target.value)}>
        ${listed.map((/** @type {any} */ found) => html`<option key=${found.id} value=${found.id}>${found.name}</option>`)}
      </select>
      <button type="button" onClick=${() => (open.value = { kind: "project" })}>${t("projects.create")}</button>
      <button type="button" disabled=${!project} onClick=${() => (open.value = { kind: "limits", path, name: project.name })}>${t("projects.limits")}</button>
      <button type="button" onClick=${() => (open.value = { kind: "limits", path: "v1/organization", name: t("limits.everyone") })}>${t("limits.everyone")}</button>
      <button type="button" class="primary" disabled=${!project} onClick=${() => (open.value = { kind: "create" })}>${t("keys.create")}</button>
    </div>
    <${Trouble} of=${projects.error ? projects : keys} />
    ${made.value && html`<${NewKey} value=${made.value} onClose=${() => (made.value = "")} />`}
    ${keys.data && (keys.data.data.length ? html`<${Rows} keys=${keys.data.data} open=${open} />` : html`<p class="quiet">${t("keys.none")}</p>`)}
    ${open.value?.kind === "create" && html`<${CreateKey} project=${project} onMade=${created} onClose=${close} />`}
    ${open.value?.kind === "rotate" && html`<${RotateKey} of=${open.value.key} onMade=${changed} onClose=${close} />`}
    ${open.value?.kind === "revoke" && html`<${RevokeKey} of=${open.value.key} onDone=${() => changed()} onClose=${close} />`}
    ${open.value?.kind === "limits" && html`<${Limits} owner=${open.value} onClose=${close} />`}
    ${open.value?.kind === "project" &&
    html`<${CreateProject}
      onMade=${(/** @type {any} */ found) => {
        projects.reload();
        chosen.value = found.id;
      }}
      onClose=${close}
    />`}
  </section>`;
}

/** @param {{keys: any[], open: {value: any}}} props */
function Rows({ keys, open }) {
  /** @param {any} key */
  const cellsOf = (key) => [
    html`<span title=${key.id}>${key.name}</span>`,
    html`<code>${key.redacted_value}</code>`,
    key.scopes.map((/** @type {string} */ scope) => t(`scope.${scope}`)).join(", "),
    key.models ? key.models.join(", ") : t("limits.all"),
    key.last_used_at ? moment(key.last_used_at * 1000) : t("keys.never"),
    day(key.expires_at),
    [
      ["limits", { kind: "limits", path: pathOf(key), name: key.name }],
      ["rotate", { kind: "rotate", key }],
      ["revoke", { kind: "revoke", key }],
    ].map(
      ([word, what]) =>
        html`<button key=${word} type="button" aria-label=${t(`keys.${word}Of`, { name: key.name })} onClick=${() => (open.value = what)}>
          ${t(`keys.${word}`)}
        </button>`,
    ),
  ];
  return html`<${Table} label=${t("dashboard.keys")} columns=${COLUMNS} rows=${keys.map((key) => ({ key: key.id, cells: cellsOf(key) }))} />`;
}

/** @param {{onMade: (project: any) => void, onClose: () => void}} props */
function CreateProject({ onMade, onClose }) {
  const name = useSignal("");
  async function make() {
    const project = await ask("POST", "v1/organization/projects", { name: name.value.trim() });
    say(t("projects.made", { name: project.name }));
    onMade(project);
  }
  return html`<${FormDialog} title=${t("projects.create")} action=${t("projects.create")} onSubmit=${make} onClose=${onClose}>
    <${Field} label=${t("projects.name")} hint=${t("projects.hint")} value=${name} isRequired />
  <//>`;
}
