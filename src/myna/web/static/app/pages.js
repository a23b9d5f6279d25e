// The pages, by the name in the URL after `#/`. A page is loaded when it is first opened.
import { signal } from "./html.js";

/** @type {Record<string, () => Promise<{Page: any}>>} */
export const PAGES = {
  playground: () => import("./playground/page.js"),
  dashboard: () => import("./dashboard/page.js"),
};

const FIRST = Object.keys(PAGES)[0] ?? "";

/** @returns {string} */
function named() {
  const name = window.location.hash.replace(/^#\/?/, "").split("/")[0] ?? "";
  return Object.hasOwn(PAGES, name) ? name : FIRST;
}

export const page = signal(named());

window.addEventListener("hashchange", () => {
  page.value = named();
});
