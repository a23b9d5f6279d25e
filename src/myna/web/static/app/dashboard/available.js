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

/** @typedef {{status: string, downloaded_bytes: number, total_bytes: number, message: string | null}} Pull */
/** @typedef {{id: string, size_bytes: number, licence: string, terms: string | null, capabilities: string[],
 *   is_here: boolean, fits: boolean, runs: boolean, tokens_per_s: number, best_for: string[], pull: Pull | null}} Offer */

const EVERY_MS = 15_000;
const WHILE_DOWNLOADING_MS = 1000;
/** @type {import("./table.js").Column[]} */
const COLUMNS = [
  { word: "models.name", kind: "name" },
  { word: "models.size", kind: "figure" },
  { word: "available.speed", kind: "figure" },
  { word: "available.goodFor" },
  { word: "available.licence" },
  { word: "models.actions", kind: "actions" },
];

/** @param {Offer} offer */
const isActive = ({ pull }) => pull?.status === "queued" || pull?.status === "downloading";

/** @param {{onChange: () => void}} props */
export function Available({ onChange }) {
  const everyMs = useSignal(EVERY_MS);
  const resource = useResource("v1/organization/models/available", everyMs.value);
  const showsAll = useSignal(false);
  const offers = /** @type {Offer[]} */ (resource.data?.data ?? []);
  const numHere = offers.filter((offer) => offer.is_here).length;
  useEffect(() => void (everyMs.value = offers.some(isActive) ? WHILE_DOWNLOADING_MS : EVERY_MS), [resource.data]);
  useEffect(() => void (numHere && onChange()), [numHere]);
  /** @param {Offer} offer @param {"pull" | "pull/cancel"} act */
  async function change(offer, act) {
    try {
      await ask("POST", `v1/organization/models/${encodeURIComponent(offer.id)}/${act}`);
    } catch (error) {
      say(error instanceof Error ? error.message : String(error), { kind: "bad" });
    }
    resource.reload();
  }
  const shown = offers.filter((offer) => !offer.is_here && (showsAll.value || (offer.fits && offer.runs) || isActive(offer)));
  const rows = shown.map((offer) => ({
    key: offer.id,
    cells: [
      html`${offer.id} ${offer.best_for.length > 0 && html`<span class="state good">${t("available.best", { purposes: capabilityWords(offer.best_for) })}</span>`}`,
      sizeOf(offer.size_bytes),
      speedOf(offer),
      capabilityWords(offer.capabilities),
      offer.terms ? html`<a href=${offer.terms} target="_blank" rel="noreferrer">${offer.licence}</a>` : offer.licence,
      html`<${Download} offer=${offer} run=${change} />`,
    ],
  }));
  if (resource.data && !offers.length) return null; // this server downloads no models
  return html`<section class="card" aria-labelledby="available">
    <div class="bar">
      <h2 id="available" class="grow">${t("available.title")}</h2>
      <label><input type="checkbox" checked=${showsAll.value} onChange=${() => (showsAll.value = !showsAll.value)} /> ${t("available.all")}</label>
    </div>
    <${Trouble} of=${resource} />
    ${rows.length > 0 && html`<${Table} label=${t("available.title")} columns=${COLUMNS} rows=${rows} />`}
    <p class="quiet">${t("available.hint")}</p>
  </section>`;
}

/** @param {Offer} offer */
function speedOf({ fits, runs, tokens_per_s: speed, capabilities }) {
  if (!fits) return t("available.tooLarge");
  if (!runs) return t("available.noEngine");
  return capabilities.includes("embeddings") ? "–" : number(speed, { maximumFractionDigits: speed < 10 ? 1 : 0 });
}

/** @param {{offer: Offer, run: (offer: Offer, act: "pull" | "pull/cancel") => void}} props */
function Download({ offer, run }) {
  const { pull } = offer;
  if (isActive(offer) && pull) {
    return html`<progress max=${pull.total_bytes || 1} value=${pull.downloaded_bytes} aria-label=${t("available.progressOf", { name: offer.id })}></progress>
      <button type="button" aria-label=${t("available.cancelOf", { name: offer.id })} onClick=${() => run(offer, "pull/cancel")}>${t("available.cancel")}</button>`;
  }
  return html`${pull?.status === "failed" && html`<p class="trouble" role="alert">${pull.message}</p>`}
    <button type="button" aria-label=${t("available.downloadOf", { name: offer.id })} onClick=${() => run(offer, "pull")}>${t("available.download")}</button>`;
}
