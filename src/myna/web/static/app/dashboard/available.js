// The models that can be downloaded: what fits the server's machine, how fast, which to choose, and their downloads.
import { ask } from "../api.js";
import { capabilityWords } from "../capabilities.js";
import { html, useEffect, useSignal } from "../html.js";
import { number, t } from "../language.js";
import { say } from "../notices.js";
import { sizeOf } from "../sizes.js";
import { useResource } from "./resource.js";
import { Table } from "./table.js";
import { Trouble } from "./trouble.js";

/** @typedef {{id: string, status: string, downloaded_bytes: number, total_bytes: number, message: string | null}} Pull */
/** @typedef {{id: string, size_bytes: number, licence: string, terms: string | null, owned_by: string, capabilities: string[],
 *   is_here: boolean, fits: boolean, runs: boolean, tokens_per_s: number, best_for: string[]}} Offer */
/** @typedef {"pull" | "pull/cancel"} Act */

const WHILE_DOWNLOADING_MS = 1000;
const OTHERWISE_MS = 15_000;
/** @type {import("./table.js").Column[]} */
const COLUMNS = [
  { word: "models.name", kind: "name" },
  { word: "models.size", kind: "figure" },
  { word: "available.speed", kind: "figure" },
  { word: "available.goodFor" },
  { word: "available.licence" },
  { word: "models.actions", kind: "actions" },
];

/** @param {Pull | undefined} pull */
const isActive = (pull) => pull?.status === "queued" || pull?.status === "downloading";

/** @param {{onChange: () => void}} props */
export function Available({ onChange }) {
  const [wanted, showsAll, everyMs] = [useSignal(""), useSignal(false), useSignal(OTHERWISE_MS)];
  const offered = useResource("v1/organization/models/available");
  const offers = /** @type {Offer[]} */ (offered.data?.data ?? []);
  const pulled = useResource(offers.length > 0 ? "v1/organization/models/pulls" : "", everyMs.value);
  const pulls = /** @type {Pull[]} */ (pulled.data?.data ?? []);
  const numCompleted = pulls.filter(({ status }) => status === "completed").length;
  useEffect(() => void (everyMs.value = pulls.some(isActive) ? WHILE_DOWNLOADING_MS : OTHERWISE_MS), [pulled.data]);
  useEffect(() => {
    if (!numCompleted) return;
    offered.reload();
    onChange();
  }, [numCompleted]);
  /** @param {string} id @param {Act} act */
  async function change(id, act) {
    try {
      await ask("POST", `v1/organization/models/${encodeURIComponent(id)}/${act}`);
      if (act === "pull") wanted.value = "";
    } catch (error) {
      say(error instanceof Error ? error.message : String(error), { kind: "bad" });
    }
    pulled.reload();
  }
  if (offered.data && !offers.length) return null; // this server downloads no models
  /** @param {string} id */
  const pullOf = (id) => pulls.find((pull) => pull.id === id);
  const text = wanted.value.trim();
  const isListed = (/** @type {Offer} */ offer) => showsAll.value || (offer.fits && offer.runs) || isActive(pullOf(offer.id));
  const found = offers.filter((offer) => !offer.is_here && (text ? matches(offer, text) : isListed(offer)));
  const others = pulls.filter((pull) => !offers.some(({ id }) => id === pull.id) && !["completed", "cancelled"].includes(pull.status));
  const rows = [
    ...others.map((pull) => rowOfPull(pull, change)),
    ...found.map((offer) => rowOf(offer, pullOf(offer.id), change)),
  ];
  return html`<section class="card" aria-labelledby="available">
    <div class="bar">
      <h2 id="available" class="grow">${t("available.title")}</h2>
      <input type="search" aria-label=${t("available.search")} placeholder=${t("available.search")} value=${wanted.value} onInput=${(/** @type {any} */ event) => (wanted.value = event.target.value)} />
      <label><input type="checkbox" checked=${showsAll.value} onChange=${() => (showsAll.value = !showsAll.value)} /> ${t("available.all")}</label>
    </div>
    <${Trouble} of=${offered} />
    ${rows.length > 0 && html`<${Table} label=${t("available.title")} columns=${COLUMNS} rows=${rows} />`}
    ${text &&
    !found.length &&
    html`<p class="row">
      <span class="grow">${t("available.notListed", { name: text })}</span>
      <button type="button" onClick=${() => change(text, "pull")}>${t("available.downloadOf", { name: text })}</button>
    </p>`}
    <p class="quiet">${t("available.hint")}</p>
  </section>`;
}

/** Whether each word occurs in what is known of the model. @param {Offer} offer @param {string} text */
function matches({ id, owned_by: owner, licence, capabilities }, text) {
  const known = [id, owner, licence, ...capabilities, capabilityWords(capabilities)].join(" ").toLowerCase();
  return text.toLowerCase().split(/\s+/).every((word) => known.includes(word));
}

/** @param {Offer} offer @param {Pull | undefined} pull @param {(id: string, act: Act) => void} change */
function rowOf(offer, pull, change) {
  const { id, best_for: purposes, size_bytes: size, capabilities, terms, licence } = offer;
  const cells = [
    html`${id} ${purposes.length > 0 && html`<span class="state good">${t("available.best", { purposes: capabilityWords(purposes) })}</span>`}`,
    sizeOf(size),
    speedOf(offer),
    capabilityWords(capabilities),
    terms ? html`<a href=${terms} target="_blank" rel="noreferrer">${licence}</a>` : licence,
    html`<${Download} id=${id} pull=${pull} change=${change} />`,
  ];
  return { key: id, cells };
}

/** A download of a model that isn't in the catalog. @param {Pull} pull @param {(id: string, act: Act) => void} change */
function rowOfPull(pull, change) {
  const size = pull.total_bytes ? sizeOf(pull.total_bytes) : "–";
  return { key: pull.id, cells: [pull.id, size, "–", "–", "–", html`<${Progress} pull=${pull} change=${change} />`] };
}

/** @param {Offer} offer */
function speedOf({ fits, runs, tokens_per_s: speed, capabilities }) {
  if (!fits) return t("available.tooLarge");
  if (!runs) return t("available.noEngine");
  return capabilities.includes("embeddings") ? "–" : number(speed, { maximumFractionDigits: speed < 10 ? 1 : 0 });
}

/** @param {{id: string, pull: Pull | undefined, change: (id: string, act: Act) => void}} props */
function Download({ id, pull, change }) {
  return html`${pull && html`<${Progress} pull=${pull} change=${change} />`}
    ${!isActive(pull) && html`<button type="button" aria-label=${t("available.downloadOf", { name: id })} onClick=${() => change(id, "pull")}>${t("available.download")}</button>`}`;
}

/** How far it is, with a button to cancel it, or why it failed. @param {{pull: Pull, change: (id: string, act: Act) => void}} props */
function Progress({ pull, change }) {
  const { id, status, downloaded_bytes: done, total_bytes: all, message } = pull;
  if (!isActive(pull)) return status === "failed" && html`<p class="trouble" role="alert">${message}</p>`;
  return html`<progress max=${all || 1} value=${done} aria-label=${t("available.progressOf", { name: id })}></progress>
    <span class="quiet">${number(all ? done / all : 0, { style: "percent" })}</span>
    <button type="button" aria-label=${t("available.cancelOf", { name: id })} onClick=${() => change(id, "pull/cancel")}>${t("available.cancel")}</button>`;
}
