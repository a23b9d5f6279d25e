// The audit log: who changed what, the old and new values, when, and from where.
import { html } from "../html.js";
import { moment, t } from "../language.js";
import { useResource } from "./resource.js";
import { money } from "./shown.js";
import { Table } from "./table.js";
import { Trouble } from "./trouble.js";

/** @type {import("./table.js").Column[]} */
const COLUMNS = ["when", "what", "which", "change", "who", "where"].map((name) => ({ word: `acts.${name}` }));

/** @param {{names: import("./names.js").KeyNames, projects: any[]}} props */
export function Acts({ names, projects }) {
  const resource = useResource("v1/organization/audit_logs?limit=100");
  const { data } = resource;
  const rows = data?.data ?? [];
  /** The name of a key or a project. @param {string} id */
  const nameOf = (id) => projects.find((project) => project.id === id)?.name ?? names.nameOf(id);
  /** @param {any} act */
  const cellsOf = (act) => [
    moment(act.effective_at * 1000),
    html`<code>${act.type}</code>`,
    subjectOf(act, nameOf),
    html`<${Changes} act=${act} />`,
    actorOf(act.actor, nameOf),
    addressOf(act.actor) ?? t("acts.here"),
  ];
  return html`<section class="card" aria-labelledby="acts">
    <h2 id="acts">${t("dashboard.acts")}</h2>
    <${Trouble} of=${resource} />
    ${data && !rows.length && html`<p class="quiet">${t("acts.none")}</p>`}
    ${rows.length > 0 &&
    html`<${Table} label=${t("dashboard.acts")} columns=${COLUMNS} rows=${rows.map((/** @type {any} */ act) => ({ key: act.id, cells: cellsOf(act) }))} />`}
  </section>`;
}

/** The object of the action: the owner of a limit, or a name if there is one. @param {any} act @param {(id: string) => string} nameOf */
function subjectOf(act, nameOf) {
  const detail = act[act.type] ?? {};
  if (act.type !== "rate_limit.updated") return detail.data?.name ?? nameOf(detail.id ?? "");
  const owner = detail.owner ? nameOf(detail.owner) : t("limits.everyone");
  return detail.id === "rl-all" ? owner : `${owner}, ${detail.id.replace(/^rl-/, "")}`;
}

/** @param {{act: any}} props */
function Changes({ act }) {
  const { changes_requested: after = {}, previous: before = null } = act[act.type] ?? {};
  return html`<ul class="changes">
    ${Object.entries(after).map(
      ([name, value]) => html`<li key=${name}>
        ${wordOf(name)}${": "}${before && html`<del>${shown(name, before[name])}</del>${" → "}`}<ins>${shown(name, value)}</ins>
      </li>`,
    )}
  </ul>`;
}

/** @param {string} name */
function wordOf(name) {
  const word = t(`changed.${name}`);
  return word === `changed.${name}` ? name : word;
}

/** @param {string} name @param {any} value */
function shown(name, value) {
  if (value === null || value === undefined) return t("acts.nothing");
  if (name === "budget_cents") return money(value / 100);
  return Array.isArray(value) ? value.join(", ") : String(value);
}

/** @param {any} actor @param {(id: string) => string} nameOf @returns {string} */
function actorOf(actor, nameOf) {
  const key = actor.api_key?.id;
  return key ? nameOf(key) : (actor.session?.user?.id ?? actor.type);
}

/** @param {any} actor @returns {string | null} */
const addressOf = (actor) => actor.ip_address ?? actor.session?.ip_address ?? null;
