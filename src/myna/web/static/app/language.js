// The language of the page: which, and the words in it. Every text that a person reads comes from here.
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

/** Change the language, for this visit and the next. @param {string} value */
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
 * What the API said about a failure, which is English: in Chinese behind what its code or status means.
 * @param {string} message @param {string | null | undefined} code @param {number} status
 */
export function explained(message, code, status) {
  const meaning = language.value === "zh" && (errors[code ?? ""] ?? errors[status]);
  return meaning ? `${meaning}（${message}）。` : message;
}

/** A number as the reader writes it. @param {number} value @param {Intl.NumberFormatOptions} [options] */
export function number(value, options) {
  return new Intl.NumberFormat(language.value === "zh" ? "zh-CN" : "en", options).format(value);
}

/** A moment as the reader writes it. @param {number} ms */
export function moment(ms) {
  const locale = language.value === "zh" ? "zh-CN" : "en";
  return new Intl.DateTimeFormat(locale, { dateStyle: "medium", timeStyle: "short" }).format(ms);
}
