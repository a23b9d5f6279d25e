// What one key, a project or everyone may use: of all models together, or of one.
import { ask } from "../api.js";
import { html, useLayoutEffect, useSignal } from "../html.js";
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
 * `owner.path` is where the owner's own resource is.
 */
export function Limits({ owner, onClose }) {
  const { data, error } = useResource(`${owner.path}/rate_limits`);
  const id = useSignal("rl-all");
  const values = FIELDS.map(() => useSignal(""));
  const limits = data?.data ?? [];
  const limit = limits.find((/** @type {any} */ found) => found.id === id.value);
  // Before anyone can type: after the next paint it would take back what was typed until then.
  useLayoutEffect(() => {
    FIELDS.forEach((name, at) => {
      const field = values[at];
      if (field) field.value = shown(limit?.[name] ?? null, name);
    });
  }, [limit]);

  async function save() {
    const body = Object.fromEntries(FIELDS.map((name, at) => [name, sent(values[at]?.value ?? "", name)]));
    await ask("POST", `${owner.path}/rate_limits/${encodeURIComponent(id.value)}`, body);
  }

  return html`<${FormDialog} title=${t("limits.title", { name: owner.name })} action=${t("limits.save")} onSubmit=${save} onClose=${onClose}>
    <${Trouble} error=${error} />
    <div class="field">
      <label for="limit-model">${t("limits.model")}</label>
      <select id="limit-model" value=${id.value} onChange=${(/** @type {any} */ event) => (id.value = event.target.value)}>
        ${limits.map((/** @type {any} */ found) => html`<option key=${found.id} value=${found.id}>${found.id === "rl-all" ? t("limits.all") : found.model}</option>`)}
      </select>
    </div>
    <p class="quiet">${t("limits.empty")}</p>
    ${limit &&
    FIELDS.map((name, at) => html`<${Field} key=${name} label=${t(`limit.${name}`)} value=${values[at]} type="number" />`)}
  <//>`;
}

/** Budgets are set in dollars and kept in cents. @param {number | null} value @param {string} name */
function shown(value, name) {
  if (value === null) return "";
  return String(name === "budget_cents" ? value / 100 : value);
}

/** @param {string} text @param {string} name @returns {number | null} */
function sent(text, name) {
  if (text.trim() === "") return null;
  return name === "budget_cents" ? Math.round(Number(text) * 100) : Number(text);
}
