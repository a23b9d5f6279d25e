// The language of the page and its words. All text shown to users comes from here.
import { effect, signal } from "./html.js";
import { preferences } from "./storage.js";
import { en } from "./words/en.js";
import { zh } from "./words/zh.js";
import { errors } from "./words/zh/errors.js";

/** @type {Record<string, Record<string, string>>} */
const WORDS = { en, zh };

/** @returns {string} */
function first() {
  const chosen = preferences.get("language");
  if (chosen && chosen in WORDS) return chosen;
  return navigator.language.toLowerCase().startsWith("zh") ? "zh" : "en";
}

export const language = signal(first());

effect(() => {
  document.documentElement.lang = language.value === "zh" ? "zh-CN" : "en";
});

/** Set the language and remember it. @param {string} value */
export function setLanguage(value) {
  language.value = value;
  preferences.set("language", value);
}

/**
 * The words for `key`, with `{name}` replaced by `values.name`.
 * @param {string} key
 * @param {Record<string, string | number>} [values]
 */
export function t(key, values = {}) {
  const text = WORDS[language.value]?.[key] ?? en[key] ?? key;
  return text.replace(/\{(\w+)\}/g, (whole, name) => String(values[name] ?? whole));
}

/**
 * The API's error message, which is in English; in Chinese, after the meaning of its code or status.
 * @param {string} message @param {string | null | undefined} code @param {number} status
 */
export function explained(message, code, status) {
  const meaning = language.value === "zh" && (errors[code ?? ""] ?? errors[status]);
  return meaning ? `${meaning}（${message}）。` : message;
}

/** A number in the user's format. @param {number} value @param {Intl.NumberFormatOptions} [options] */
export function number(value, options) {
  return new Intl.NumberFormat(language.value === "zh" ? "zh-CN" : "en", options).format(value);
}

/** A date and time in the user's format. @param {number} ms */
export function moment(ms) {
  const locale = language.value === "zh" ? "zh-CN" : "en";
  return new Intl.DateTimeFormat(locale, { dateStyle: "medium", timeStyle: "short" }).format(ms);
}
