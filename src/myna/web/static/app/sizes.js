// File sizes formatted for people.
import { number } from "./language.js";

/** @param {number} bytes */
export function sizeOf(bytes) {
  const [value, unit] = bytes >= 1e9 ? [bytes / 1e9, "gigabyte"] : [bytes / 1e6, "megabyte"];
  return number(value, { style: "unit", unit, maximumFractionDigits: value < 10 ? 1 : 0 });
}
