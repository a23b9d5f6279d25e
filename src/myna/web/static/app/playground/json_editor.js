// An editor for JSON that checks it during input and shows the line, column and reason of an error.
import { html, useMemo } from "../html.js";
import { t } from "../language.js";
import { JSON_EXAMPLES } from "./json_examples.js";
import { complaintOf } from "./json_checks.js";
import { JsonFault, parseJson } from "./json_text.js";

/** Why the text can't be sent, or "". @param {string} name @param {string} text */
export function troubleOf(name, text) {
  if (text.trim() === "") return "";
  try {
    const complaint = complaintOf(name, parseJson(text));
    return complaint ? `${complaint.where}: ${t(complaint.why, complaint.values)}` : "";
  } catch (error) {
    if (!(error instanceof JsonFault)) throw error;
    return t("json.where", { line: error.line, column: error.column, why: t(error.why) });
  }
}

/** @param {{id: string, about: string, name: string, text: string, set: (text: string | undefined) => void}} props */
export function JsonEditor({ id, about, name, text, set }) {
  const trouble = useMemo(() => troubleOf(name, text), [name, text]);
  const isFilled = text.trim() !== "";

  /** A new line is indented like the one before it. @param {any} event */
  function press(event) {
    if (event.key !== "Enter" || event.isComposing) return;
    const { selectionStart: at, value } = event.target;
    const [indent = ""] = /^[ \t]*/.exec(value.slice(0, at).split("\n").at(-1)) ?? [];
    event.preventDefault();
    event.target.setRangeText(`\n${indent}`, at, event.target.selectionEnd, "end");
    set(event.target.value);
  }

  return html`<div class="json-editor">
    <textarea
      id=${id}
      rows=${isFilled ? Math.min(14, Math.max(3, text.split("\n").length)) : 2}
      spellcheck="false"
      autocapitalize="off"
      wrap="off"
      value=${text}
      placeholder=${t("panel.unset")}
      aria-describedby=${`${about} ${id}-trouble`}
      aria-invalid=${trouble !== ""}
      onInput=${(/** @type {any} */ event) => set(event.target.value || undefined)}
      onKeyDown=${press}
    />
    <p id=${`${id}-trouble`} class="trouble" role="alert">${trouble}</p>
    <div class="row">
      ${isFilled && trouble === "" && html`<span class="good">✓ ${t("json.good")}</span>`}
      <span class="grow" />
      ${!isFilled &&
      JSON_EXAMPLES[name] &&
      html`<button type="button" class="link" onClick=${() => set(JSON.stringify(JSON_EXAMPLES[name], null, 2))}>${t("json.example")}</button>`}
      ${isFilled &&
      trouble === "" &&
      html`<button type="button" class="link" onClick=${() => set(JSON.stringify(JSON.parse(text), null, 2))}>${t("json.format")}</button>`}
    </div>
  </div>`;
}
