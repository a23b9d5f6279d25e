// The values that a request gets by default: the model's sampling defaults, or OpenAI's.
import { findModel } from "../session.js";

/** The value of a parameter that isn't set. If a request sets a temperature, none of the model's defaults apply.
 * @param {import("./parameters.js").Parameter} parameter @param {import("./values.js").Pane} pane */
export function usualOf(parameter, pane) {
  const isOwn = pane.values.temperature === undefined;
  return (isOwn ? findModel(pane.model)?.sampling_defaults?.[parameter.name] : undefined) ?? parameter.usual;
}
