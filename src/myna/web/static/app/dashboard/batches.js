// Batches of the key's project, newest first: their progress, and a button to cancel those that run.
import { ask } from "../api.js";
import { html, useSignal } from "../html.js";
import { moment, number, t } from "../language.js";
import { say } from "../notices.js";
import { useResource } from "./resource.js";
import { count } from "./shown.js";
import { Table } from "./table.js";
import { Trouble } from "./trouble.js";

const EVERY_MS = 2000;
const RUNNING = ["validating", "in_progress", "finalizing"];
/** @type {import("./table.js").Column[]} */
const COLUMNS = [
  { word: "batches.id", kind: "name" },
  { word: "batches.created" },
  { word: "batches.model" },
  { word: "batches.status" },
  { word: "batches.progress" },
  { word: "batches.failed", kind: "figure" },
  { word: "batches.actions", kind: "actions" },
];

export function Batches() {
  const resource = useResource("v1/batches?limit=50", EVERY_MS);
  const cancelling = useSignal(/** @type {string[]} */ ([]));
  const { data } = resource;
  const listed = data?.data ?? [];
  /** @param {string} id */
  async function cancel(id) {
    cancelling.value = [...cancelling.value, id];
    try {
      await ask("POST", `v1/batches/${id}/cancel`, {});
    } catch (error) {
      say(error instanceof Error ? error.message : String(error), { kind: "bad" });
    }
    cancelling.value = cancelling.value.filter((other) => other !== id);
    resource.reload();
  }
  /** @param {any} batch */
  const cellsOf = (batch) => [
    html`<code>${batch.id}</code>`,
    moment(batch.created_at * 1000),
    batch.model ?? "–",
    html`<${Status} batch=${batch} />`,
    html`<${Progress} batch=${batch} />`,
    count(batch.request_counts.failed),
    RUNNING.includes(batch.status) &&
    html`<button
      type="button"
      aria-label=${t("batches.cancelOf", { id: batch.id })}
      disabled=${cancelling.value.includes(batch.id)}
      onClick=${() => cancel(batch.id)}
    >
      ${t("batches.cancel")}
    </button>`,
  ];
  return html`<section class="card" aria-labelledby="batches">
    <h2 id="batches">${t("dashboard.batches")}</h2>
    <${Trouble} of=${resource} />
    ${data && !listed.length && html`<p class="quiet">${t("batches.none")}</p>`}
    ${listed.length > 0 &&
    html`<${Table} label=${t("dashboard.batches")} columns=${COLUMNS} rows=${listed.map((/** @type {any} */ batch) => ({ key: batch.id, cells: cellsOf(batch) }))} />`}
  </section>`;
}

/** @param {{batch: any}} props */
function Status({ batch }) {
  const kind = batch.status === "completed" ? "good" : batch.status === "failed" ? "bad" : "";
  const fault = batch.errors?.data?.[0]?.message;
  return html`<span class=${`state ${kind}`}>${t(`batch.${batch.status}`)}</span>
    ${fault && html` <span class="quiet">${fault}</span>`}`;
}

/** @param {{batch: any}} props */
function Progress({ batch }) {
  const { total, completed, failed } = batch.request_counts;
  if (!total) return "–";
  const done = completed + failed;
  const shown = `${number(done)} / ${number(total)}`;
  return html`<progress max=${total} value=${done} aria-label=${t("batches.progressOf", { id: batch.id })}>${shown}</progress>
    ${" "}${shown}`;
}
