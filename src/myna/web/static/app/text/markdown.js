// Markdown as a tree of components. Markup in the text is never parsed as part of the page: HTML is shown
// as literal text, links can only lead to the web or a mail address, and images become links.
import { html, useMemo } from "../html.js";
import { Lexer } from "../../vendor/marked.js";
import { CodeBlock } from "./code_block.js";
import { decodeEntities } from "./entities.js";
import { Formula, mathExtensions } from "./math.js";

/** A component, a text, a list of them, or nothing. @typedef {any} Child */

/** @param {{text: string, canRun?: boolean}} props */
export function Markdown({ text, canRun = false }) {
  const tokens = useMemo(() => levelled(Lexer.lex(text, { gfm: true, breaks: true, extensions: mathExtensions })), [text]);
  return html`<div class="markdown">${blocks(tokens, canRun)}</div>`;
}

/** Renumber headings to consecutive levels below the answer's own. @param {any[]} tokens */
function levelled(tokens) {
  const headings = tokens.filter((token) => token.type === "heading");
  const depths = [...new Set(headings.map((token) => token.depth))].sort();
  for (const token of headings) token.level = Math.min(6, depths.indexOf(token.depth) + 3);
  return tokens;
}

/** @param {any[]} tokens @param {boolean} canRun @returns {Child[]} */
const blocks = (tokens, canRun) => tokens.map((token) => block(token, canRun));

/** @param {any} token @param {boolean} canRun @returns {Child} */
function block(token, canRun) {
  switch (token.type) {
    case "space":
    case "def":
      return null;
    case "code":
      return html`<${CodeBlock} code=${token.text} language=${languageOf(token.lang)} canRun=${canRun} />`;
    case "heading":
      return html`<div
        class=${`heading h${token.depth}`}
        dir="auto"
        role=${token.level && "heading"}
        aria-level=${token.level}
      >
        ${inlines(token.tokens)}
      </div>`;
    case "blockquote":
      return html`<blockquote>${blocks(token.tokens, canRun)}</blockquote>`;
    case "hr":
      return html`<hr />`;
    case "list":
      return list(token, canRun);
    case "table":
      return table(token);
    case "paragraph":
      return html`<p dir="auto">${inlines(token.tokens)}</p>`;
    case "text":
      return token.tokens ? inlines(token.tokens) : decodeEntities(token.text);
    case "checkbox":
      return null; // rendered by its item
    default:
      return inline(token);
  }
}

/** @param {any} token @param {boolean} canRun */
function list(token, canRun) {
  const items = token.items.map(
    (/** @type {any} */ item) => html`<li dir="auto">
      ${item.task &&
      html`<input type="checkbox" disabled checked=${item.checked} aria-label=${item.checked ? "✓" : "☐"} />`}
      ${blocks(item.tokens, canRun)}
    </li>`,
  );
  return token.ordered ? html`<ol start=${token.start || 1}>${items}</ol>` : html`<ul>${items}</ul>`;
}

/** @param {any} token */
function table(token) {
  /** @param {any} cell @param {string} tag @param {number} place */
  const cellOf = (cell, tag, place) =>
    html`<${tag} dir="auto" class=${`to-${token.align[place] ?? "start"}`}>${inlines(cell.tokens)}</${tag}>`;
  return html`<div class="scrolls" tabindex="0" role="group">
    <table>
      <thead><tr>${token.header.map((/** @type {any} */ cell, /** @type {number} */ i) => cellOf(cell, "th", i))}</tr></thead>
      <tbody>
        ${token.rows.map(
          (/** @type {any[]} */ row) => html`<tr>${row.map((cell, i) => cellOf(cell, "td", i))}</tr>`,
        )}
      </tbody>
    </table>
  </div>`;
}

/** @param {any[] | undefined} tokens @returns {Child[]} */
const inlines = (tokens) => (tokens ?? []).map(inline);

/** @param {any} token @returns {Child} */
function inline(token) {
  switch (token.type) {
    case "strong":
      return html`<strong>${inlines(token.tokens)}</strong>`;
    case "em":
      return html`<em>${inlines(token.tokens)}</em>`;
    case "del":
      return html`<del>${inlines(token.tokens)}</del>`;
    case "codespan":
      return html`<code>${token.text}</code>`;
    case "br":
      return html`<br />`;
    case "link":
      return link(token.href, inlines(token.tokens));
    case "image":
      return link(token.href, [token.text || token.href]);
    case "text":
      return token.tokens ? inlines(token.tokens) : decodeEntities(token.text);
    case "math":
      return html`<${Formula} tex=${token.tex} raw=${token.raw.trim()} isDisplayed=${token.isDisplayed} />`;
    case "escape":
      return token.text;
    default:
      return token.raw; // raw HTML, and token types that are not known here
  }
}

/** @param {string} href @param {Child[]} children */
function link(href, children) {
  if (!isHarmless(href)) return children;
  return html`<a href=${href} target="_blank" rel="noopener noreferrer nofollow">${children}</a>`;
}

/** @param {string} href */
function isHarmless(href) {
  try {
    return ["http:", "https:", "mailto:"].includes(new URL(href).protocol);
  } catch {
    return false;
  }
}

/** @param {string | undefined} info */
const languageOf = (info) => (info ?? "").trim().split(/[\s,{]/)[0]?.toLowerCase() ?? "";
