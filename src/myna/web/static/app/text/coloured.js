// Source code with syntax highlighting. The highlighter's markup enters the page only through DOMPurify.
import hljs from "../../vendor/highlight.js";
import DOMPurify from "../../vendor/purify.js";
import { html, useMemo } from "../html.js";

const LONGEST = 50_000;

/** @param {string} code @param {string} language @returns {ReturnType<typeof DOMPurify.sanitize> | null} null for plain text */
function markup(code, language) {
  if (code.length > LONGEST || !hljs.getLanguage(language)) return null;
  const made = hljs.highlight(code, { language, ignoreIllegals: true }).value;
  return DOMPurify.sanitize(made, {
    ALLOWED_TAGS: ["span"],
    ALLOWED_ATTR: ["class"],
    ALLOW_ARIA_ATTR: false,
    ALLOW_DATA_ATTR: false,
    RETURN_TRUSTED_TYPE: true,
  });
}

/** @param {{code: string, language: string}} props */
export function Coloured({ code, language }) {
  const made = useMemo(() => markup(code, language), [code, language]);
  if (made === null) return html`<code class="hljs">${code}</code>`;
  return html`<code class="hljs" dangerouslySetInnerHTML=${{ __html: made }} />`;
}
