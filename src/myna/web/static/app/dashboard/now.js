// The loaded models and their load.
import { html } from "../html.js";
import { number, t } from "../language.js";
import { Table } from "./table.js";
import { Trouble } from "./trouble.js";

/** @param {{status: import("./resource.js").Resource}} props */
export function Now({ status }) {
  const { data } = status;
  return html`<section class="card" aria-labelledby="now">
    <div class="bar">
      <h2 id="now" class="grow">${t("now.title")}</h2>
      ${data && html`<span class="quiet">${t("now.up", { time: uptime(data.uptime_s) })}</span>`}
    </div>
    <${Trouble} of=${status} />
    ${data && (data.models.length ? html`<${Models} models=${data.models} />` : html`<p class="quiet">${t("now.none")}</p>`)}
    ${data?.ledger && !data.ledger.is_writing && html`<p class="trouble" role="alert">${t("now.ledger", { rows: data.ledger.num_waiting_rows })}</p>`}
  </section>`;
}

/** @param {{models: any[]}} props */
function Models({ models }) {
  return html`<ul class="loaded">
    ${models.map((model) => {
      const use = model.kv_usage ?? 0;
      return html`<li key=${model.id}>
        <div class="bar">
          <strong class="grow">${model.id}</strong>
          <span class=${`state ${model.is_ready ? "good" : "bad"}`}>${t(model.is_ready ? "now.ready" : "now.starting")}</span>
        </div>
        <p class="quiet">${t("now.engine", { engine: model.engine, context: number(model.context_tokens) })}</p>
        <p>${t("now.load", { running: model.num_running, waiting: model.num_waiting })}</p>
        <label class="meter">
          <span>${t("now.kv")}</span>
          <meter min="0" max="1" high="0.85" value=${use}>${number(use, { style: "percent" })}</meter>
          <span class="value">${number(use, { style: "percent" })}</span>
        </label>
        ${model.replicas.length > 0 && html`<${Replicas} model=${model.id} replicas=${model.replicas} />`}
      </li>`;
    })}
  </ul>`;
}

/** @type {import("./table.js").Column[]} */
const REPLICA_COLUMNS = [
  { word: "now.replica", kind: "name" },
  { word: "now.node" },
  { word: "now.running", kind: "figure" },
  { word: "now.waiting", kind: "figure" },
  { word: "now.kv", kind: "figure" },
  { word: "now.hits", kind: "figure" },
];

/** Those of a fleet that this server is connected to. @param {{model: string, replicas: any[]}} props */
function Replicas({ model, replicas }) {
  const percent = (/** @type {number} */ share) => number(share, { style: "percent" });
  const rows = replicas.map(({ id, node, num_running, num_waiting, kv_usage, prompt_tokens, cached_tokens }) => ({
    key: id,
    cells: [id, node, number(num_running), number(num_waiting), percent(kv_usage), prompt_tokens ? percent(cached_tokens / prompt_tokens) : "–"],
  }));
  return html`<${Table} label=${t("now.replicas", { model })} columns=${REPLICA_COLUMNS} rows=${rows} />`;
}

/** @param {number} seconds */
function uptime(seconds) {
  const [minutes, hours, days] = [seconds / 60, seconds / 3600, seconds / 86_400];
  if (days >= 2) return t("now.days", { n: Math.floor(days) });
  if (hours >= 2) return t("now.hours", { n: Math.floor(hours) });
  return t("now.minutes", { n: Math.floor(minutes) });
}
