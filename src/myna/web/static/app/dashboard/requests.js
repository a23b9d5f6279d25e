// Recent requests, the last first: how each ended, and what it took.
import { html, useSignal } from "../html.js";
import { moment, number, t } from "../language.js";
import { useResource } from "./resource.js";
import { time } from "./shown.js";
import { Trouble } from "./trouble.js";

const EVERY_MS = 5000;
/** @type {Record<string, string[]>} */
const FILTERS = { all: [], bad: ["failed", "refused", "lost"], cancelled: ["cancelled"] };
const COLUMNS = ["when", "model", "key", "outcome", "in", "out", "first", "total"];

/** @param {{nameOfKey: (id: string) => string}} props */
export function Requests({ nameOfKey }) {
  const [filter, size] = [useSignal("all"), useSignal(20)];
  const query = new URLSearchParams({ limit: String(size.value) });
  for (const outcome of FILTERS[filter.value] ?? []) query.append("outcomes", outcome);
  const resource = useResource(`v1/organization/requests?${query}`, EVERY_MS);
  const { data } = resource;
  const rows = data?.data ?? [];
  return html`<section class="card" aria-labelledby="requests">
    <div class="bar">
      <h2 id="requests" class="grow">${t("requests.title")}</h2>
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
    ${rows.length > 0 && html`<${Rows} rows=${rows} nameOfKey=${nameOfKey} />`}
    ${data?.has_more &&
    size.value < 100 &&
    html`<button type="button" onClick=${() => (size.value = 100)}>${t("requests.more")}</button>`}
  </section>`;
}

/** @param {{rows: any[], nameOfKey: (id: string) => string}} props */
function Rows({ rows, nameOfKey }) {
  return html`<div class="scrolls" tabindex="0" role="group" aria-labelledby="requests">
    <table>
      <thead>
        <tr>
          ${COLUMNS.map((name, at) => html`<th key=${name} scope="col" class=${at > 3 ? "figure" : ""}>${t(`requests.${name}`)}</th>`)}
        </tr>
      </thead>
      <tbody>
        ${rows.map(
          (row) => html`<tr key=${row.id}>
            <td><time title=${row.id}>${moment(row.created_at * 1000)}</time></td>
            <td>${row.asked_model ?? row.model}</td>
            <td>${nameOfKey(row.api_key_id)}</td>
            <td><${Ending} row=${row} /></td>
            <td class="figure">${number(row.input_tokens)}</td>
            <td class="figure">${number(row.output_tokens)}</td>
            <td class="figure">${time(row.first_token_ms)}</td>
            <td class="figure">${time(row.duration_ms)}</td>
          </tr>`,
        )}
      </tbody>
    </table>
  </div>`;
}

/** @param {{row: any}} props */
function Ending({ row }) {
  const isBad = FILTERS.bad?.includes(row.outcome);
  const why = [row.status, row.error].filter(Boolean).join(" ");
  return html`<span class=${`state ${isBad ? "bad" : row.outcome === "completed" ? "good" : ""}`}>${t(`outcome.${row.outcome}`)}</span>
    ${isBad && html` <span class="quiet">${why}</span>`}`;
}
