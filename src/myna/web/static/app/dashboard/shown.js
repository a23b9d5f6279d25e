// Figures formatted for people: milliseconds, money, counts.
import { number, t } from "../language.js";

/** @param {number | null} ms */
export function time(ms) {
  if (ms === null) return "–";
  if (ms < 1000) return `${number(Math.round(ms))} ms`;
  return `${number(ms / 1000, { maximumFractionDigits: ms < 10_000 ? 1 : 0 })} s`;
}

/** @param {number} usd */
export function money(usd) {
  const digits = usd > 0 && usd < 0.01 ? { maximumSignificantDigits: 2 } : { maximumFractionDigits: 2 };
  return number(usd, { style: "currency", currency: "USD", currencyDisplay: "narrowSymbol", ...digits });
}

/** @param {number} value */
export const count = (value) => number(value, value >= 1e6 ? { notation: "compact", maximumFractionDigits: 1 } : {});

/** @param {number | null} seconds Unix time */
export function day(seconds) {
  return seconds === null ? t("keys.never") : new Date(seconds * 1000).toISOString().slice(0, 10);
}
