// Recent requests, newest first: how each ended, its tokens and times, and, when expanded, all that is recorded.
import { html, useSignal } from "../html.js";
import { moment, number, t } from "../language.js";
import { models } from "../session.js";
import { useResource } from "./resource.js";
import { money, time } from "./shown.js";
import { Table } from "./table.js";
import { Trouble } from "./trouble.js";

const EVERY_MS = 5000;
/** @type {Record<string, string[]>} */
const FILTERS = { all: [], bad: ["failed", "refused", "lost"], cancelled: ["cancelled"] };
/** @type {import("./table.js").Column[]} */
const COLUMNS = [
  { word: "requests.when" },
  { word: "requests.model" },
  { word: "requests.key" },
  { word: "requests.outcome" },
  { word: "requests.in", kind: "figure" },
  { word: "requests.out", kind: "figure" },
  { word: "requests.first", kind: "figure" },
  { word: "requests.total", kind: "figure" },
  { word: "requests.details", kind: "actions" },
];

/** @param {{names: import("./names.js").KeyNames}} props */
export function Requests({ names }) {
  const [filter, size] = [useSignal("all"), useSignal(20)];
  const [key, model, open] = [useSignal(""), useSignal(""), useSignal("")];
  const query = new URLSearchParams({ limit: String(size.value) });
  for (const outcome of FILTERS[filter.value] ?? []) query.append("outcomes", outcome);
  if (key.value) query.set("api_key_ids", key.value);
  if (model.value) query.set("models", model.value);
  const resource = useResource(`v1/organization/requests?${query}`, EVERY_MS);
  const { data } = resource;
  const rows = data?.data ?? [];
  const modelIds = models.value.filter((found) => !found.alias_of).map(({ id }) => [id, id]);
  return html`<section class="card" aria-labelledby="requests">
    <div class="bar">
      <h2 id="requests" class="grow">${t("requests.title")}</h2>
      <${Choice} label=${t("requests.model")} all=${t("requests.allModels")} chosen=${model} options=${modelIds} />
      ${names.all.length > 0 && html`<${Choice} label=${t("requests.key")} all=${t("requests.allKeys")} chosen=${key} options=${names.all} />`}
      <div class="segments" role="group" aria-label=${t("requests.filter")}>
        ${Object.keys(FILTERS).map(
          (name) =>
            html`<button key=${name} type="button" aria-pressed=${name === filter.value} onClick=${() => (filter.value = name)}>
              ${t(`requests.${name}`)}
            </button>`,
        )}
      </div>
    </div>
    <${Trouble} of=${resource} />
    ${data && !rows.length && html`<p class="quiet">${t("requests.none")}</p>`}
    ${rows.length > 0 &&
    html`<${Table} label=${t("requests.title")} columns=${COLUMNS} rows=${rows.map((/** @type {any} */ row) => rowOf(row, names, open))} />`}
    ${data?.has_more &&
    size.value < 100 &&
    html`<button type="button" onClick=${() => (size.value = 100)}>${t("requests.more")}</button>`}
  </section>`;
}

/** @param {{label: string, all: string, chosen: {value: string}, options: string[][]}} props */
function Choice({ label, all, chosen, options }) {
  return html`<select aria-label=${label} value=${chosen.value} onChange=${(/** @type {any} */ event) => (chosen.value = event.target.value)}>
    <option value="">${all}</option>
    ${options.map(([id, name]) => html`<option key=${id} value=${id}>${name}</option>`)}
  </select>`;
}

/** @param {any} row @param {import("./names.js").KeyNames} names @param {{value: string}} open */
function rowOf(row, names, open) {
  const isOpen = open.value === row.id;
  const cells = [
    html`<time title=${row.id}>${moment(row.created_at * 1000)}</time>`,
    row.asked_model ?? row.model,
    names.nameOf(row.api_key_id),
    html`<${Ending} row=${row} />`,
    number(row.input_tokens),
    number(row.output_tokens),
    time(row.first_token_ms),
    time(row.duration_ms),
    html`<button type="button" aria-expanded=${isOpen} aria-label=${t("requests.detailsOf", { id: row.id })} onClick=${() => (open.value = isOpen ? "" : row.id)}>
      ${t(isOpen ? "requests.less" : "requests.details")}
    </button>`,
  ];
  return { key: row.id, cells, more: isOpen ? html`<${Details} row=${row} />` : null };
}

/** @param {{row: any}} props */
function Details({ row }) {
  const facts = [
    ["id", row.id],
    ["time", new Date(row.created_at * 1000).toISOString().replace("T", " ").replace(".000Z", " UTC")],
    ["endpoint", row.endpoint],
    ["answeredBy", row.model],
    ["project", row.project_id],
    ["user", row.user_id],
    ["stream", t(row.stream ? "requests.yes" : "requests.no")],
    ["tier", row.service_tier],
    ["cached", number(row.input_cached_tokens)],
    ["reasoning", number(row.reasoning_tokens)],
    ["cost", money(row.cost_usd)],
    ["status", row.status],
    ["error", row.error],
  ].filter(([, value]) => value !== null && value !== undefined && value !== "");
  return html`<dl class="facts">
    ${facts.map(([name, value]) => html`<div key=${name}><dt>${t(`fact.${name}`)}</dt><dd>${value}</dd></div>`)}
  </dl>`;
}

/** @param {{row: any}} props */
function Ending({ row }) {
  const isBad = FILTERS.bad?.includes(row.outcome);
  const why = [row.status, row.error].filter(Boolean).join(" ");
  return html`<span class=${`state ${isBad ? "bad" : row.outcome === "completed" ? "good" : ""}`}>${t(`outcome.${row.outcome}`)}</span>
    ${isBad && html` <span class="quiet">${why}</span>`}`;
}
