// The key of a parameter's words, by its name.
import { PARAMETERS, wordOf } from "./parameters.js";

/** @param {string} name */
export function wordOfName(name) {
  const parameter = PARAMETERS.find((other) => other.name === name);
  return parameter ? wordOf(parameter) : name;
}
