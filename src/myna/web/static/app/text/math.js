// Formulas in Markdown: their delimiters, and KaTeX, which is loaded when the first one is shown. Until then,
// and if KaTeX can't parse a formula, its source is shown.
import { html, useLayoutEffect, useRef } from "../html.js";

const MAX_LENGTH = 10_000;
/** Settings of KaTeX: no links or images, and no HTML except KaTeX's own elements. */
const OPTIONS = { output: "html", throwOnError: true, strict: false, trust: false, maxSize: 20, maxExpand: 1000 };

/** On separate lines. */
const BLOCK = /^(?:\$\$([\s\S]+?)\$\$|\\\[([\s\S]+?)\\\])[ \t]*(?:\n+|$)/;
const DISPLAYED = /^(?:\$\$([^$]+?)\$\$|\\\[([\s\S]+?)\\\])/;
/** Within a line. To exclude amounts of money: no space just inside the dollars, no code, and no
 * digit after the last. */
const INLINE = /^(?:\$(?!\s)((?:\\[\s\S]|[^$\\\n`]|\n(?!\n))*?[^\s\\$`]|[^\s\\$`])\$(?!\d)|\\\(([\s\S]+?)\\\))/;

/** @param {RegExpExecArray | null} found @param {boolean} isDisplayed */
const tokenOf = (found, isDisplayed) =>
  found ? { type: "math", raw: found[0], tex: (found[1] ?? found[2] ?? "").trim(), isDisplayed } : undefined;

/** Where the next formula in a line may begin. @param {string} text */
function nextInline(text) {
  const place = text.search(/\$|\\[([]/);
  return place < 0 ? undefined : place;
}

/** The next line that may begin with a formula. @param {string} text */
function nextBlock(text) {
  const place = text.search(/\n(?:\$\$|\\\[)/);
  return place < 0 ? undefined : place + 1;
}

/** The extensions of the Markdown lexer for formulas. */
export const mathExtensions = {
  block: [(/** @type {string} */ text) => tokenOf(BLOCK.exec(text), true)],
  inline: [(/** @type {string} */ text) => tokenOf(DISPLAYED.exec(text), true) ?? tokenOf(INLINE.exec(text), false)],
  startBlock: [nextBlock],
  startInline: [nextInline],
  renderers: {},
  childTokens: {},
};

/** @type {Promise<any> | undefined} */
let loading;
/** @type {any} */
let katex = null;

/** @returns {Promise<any>} */
function load() {
  loading ??= new Promise((resolve, reject) => {
    const style = document.createElement("link");
    style.rel = "stylesheet";
    style.href = new URL("../../vendor/katex.css", import.meta.url).href;
    style.onload = resolve;
    style.onerror = reject;
    document.head.append(style);
  })
    .then(() => import("../../vendor/katex.js"))
    .then(() => (katex = /** @type {any} */ (globalThis).katex));
  loading.catch(() => (loading = undefined));
  return loading;
}

/** @param {{tex: string, raw: string, isDisplayed: boolean}} props */
export function Formula({ tex, raw, isDisplayed }) {
  const place = useRef(/** @type {HTMLElement | null} */ (null));
  useLayoutEffect(() => {
    const element = place.current;
    if (!element) return undefined;
    let isGone = false;
    const draw = () => {
      if (isGone) return;
      try {
        katex.render(tex, element, { ...OPTIONS, displayMode: isDisplayed });
      } catch {
        element.textContent = raw;
      }
    };
    if (katex && tex.length <= MAX_LENGTH) draw();
    else element.textContent = raw;
    if (!katex && tex.length <= MAX_LENGTH) load().then(draw, () => {});
    return () => (isGone = true);
  }, [tex, raw, isDisplayed]);
  return html`<span class=${isDisplayed ? "formula displayed" : "formula"} role="math" aria-label=${tex} dir="ltr" tabindex=${isDisplayed ? 0 : undefined} ref=${place} />`;
}
