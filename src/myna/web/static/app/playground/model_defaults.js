// What applies where a request sets nothing: the model's sampling defaults, or OpenAI's.
import { findModel } from "../session.js";

/** The value of a parameter that isn't set. With a temperature of its own, a request gets none of the model's.
 * @param {import("./parameters.js").Parameter} parameter @param {import("./values.js").Pane} pane */
export function usualOf(parameter, pane) {
  const isOwn = pane.values.temperature === undefined;
  return (isOwn ? findModel(pane.model)?.sampling_defaults?.[parameter.name] : undefined) ?? parameter.usual;
}
