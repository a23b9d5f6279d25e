// The limits of a key, a project or the whole server, for all models together or for one. Input is kept as changes
// to the loaded values, and only changes are sent.
import { ask } from "../api.js";
import { html, useSignal } from "../html.js";
import { t } from "../language.js";
import { Field, FormDialog } from "./dialog.js";
import { useResource } from "./resource.js";
import { Trouble } from "./trouble.js";

const FIELDS = [
  "max_requests_per_1_minute",
  "max_tokens_per_1_minute",
  "max_tokens_per_1_day",
  "max_concurrent_requests",
  "max_priority_requests_per_1_minute",
  "budget_cents",
];

/**
 * @param {{owner: {path: string, name: string}, onClose: () => void}} props
 * `owner.path` is the path of the owner's resource.
 */
export function Limits({ owner, onClose }) {
  const resource = useResource(`${owner.path}/rate_limits`);
  const id = useSignal("rl-all");
  // The text entered, by limit and field.
  const edits = useSignal(/** @type {Record<string, Record<string, string>>} */ ({}));
  const limits = resource.data?.data ?? [];
  const limit = limits.find((/** @type {any} */ found) => found.id === id.value);

  async function save() {
    for (const [changed, texts] of Object.entries(edits.value)) {
      const body = Object.fromEntries(Object.entries(texts).map(([name, text]) => [name, sent(text, name)]));
      await ask("POST", `${owner.path}/rate_limits/${encodeURIComponent(changed)}`, body);
    }
  }
  /** The field's text as a `value` for `Field`. @param {string} name */
  const valueOf = (name) => ({
    get value() {
      return edits.value[id.value]?.[name] ?? shown(limit[name], name);
    },
    set value(text) {
      edits.value = { ...edits.value, [id.value]: { ...edits.value[id.value], [name]: text } };
    },
  });

  return html`<${FormDialog} title=${t("limits.title", { name: owner.name })} action=${t("limits.save")} isReady=${Boolean(limit)} onSubmit=${save} onClose=${onClose}>
    <${Trouble} of=${resource} />
    ${limit
      ? html`<div class="field">
            <label for="limit-model">${t("limits.model")}</label>
            <select id="limit-model" value=${id.value} onChange=${(/** @type {any} */ event) => (id.value = event.target.value)}>
              ${limits.map((/** @type {any} */ found) => html`<option key=${found.id} value=${found.id}>${found.id === "rl-all" ? t("limits.all") : found.model}</option>`)}
            </select>
          </div>
          <p class="quiet">${t("limits.empty")}</p>
          ${FIELDS.map(
            (name) =>
              html`<${Field} key=${`${id.value} ${name}`} label=${t(`limit.${name}`)} value=${valueOf(name)} type="number" min="0" step=${name === "budget_cents" ? "0.01" : "1"} />`,
          )}`
      : !resource.error && html`<p class="quiet" role="status">${t("limits.loading")}</p>`}
  <//>`;
}

/** Budgets are entered in dollars and stored in cents. @param {number | null} value @param {string} name */
function shown(value, name) {
  if (value === null) return "";
  return name === "budget_cents" ? (value / 100).toFixed(2) : String(value);
}

/** @param {string} text @param {string} name @returns {number | null} */
function sent(text, name) {
  if (text.trim() === "") return null;
  return name === "budget_cents" ? Math.round(Number(text) * 100) : Number(text);
}
