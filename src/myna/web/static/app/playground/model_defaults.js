// The sampling defaults of models, as the server says them: what applies where a request sets nothing.
import { ask } from "../api.js";
import { signal } from "../html.js";
import { models } from "../session.js";

/** @typedef {Record<string, number>} Defaults */

/** By model; those that differ from OpenAI's. */
const known = signal(/** @type {Record<string, Defaults>} */ ({}));
const asked = new Set();

/** Ask for the defaults of a listed model, once. @param {string} model */
export async function findDefaults(model) {
  if (asked.has(model) || !models.value.some(({ id }) => id === model)) return;
  asked.add(model);
  try {
    const { sampling_defaults: found = {} } = await ask("GET", `v1/models/${encodeURIComponent(model)}`);
    known.value = { ...known.value, [model]: found };
  } catch {
    asked.delete(model); // Until the next time, OpenAI's are shown.
  }
}

/** The value of a parameter that isn't set. With a temperature of its own, a request gets none of the model's.
 * @param {import("./parameters.js").Parameter} parameter @param {import("./values.js").Pane} pane */
export function usualOf(parameter, pane) {
  const isOwn = pane.values.temperature === undefined;
  return (isOwn ? known.value[pane.model]?.[parameter.name] : undefined) ?? parameter.usual;
}
