// A button that copies a text and confirms it.
import { html, useSignal } from "../html.js";
import { Icon } from "../icons.js";
import { t } from "../language.js";
import { say } from "../notices.js";

const SHOWN_MS = 1500;

/** The clipboard API requires HTTPS or localhost; elsewhere, a selection and execCommand are used. @param {string} text */
async function copy(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const field = document.createElement("textarea");
  field.value = text;
  field.className = "unseen";
  document.body.append(field);
  field.select();
  const hasCopied = document.execCommand("copy");
  field.remove();
  if (!hasCopied) throw new Error("not copied");
}

/** @param {{text: string | (() => string), label?: string, hasWords?: boolean}} props */
export function CopyButton({ text, label = t("copy.do"), hasWords = false }) {
  const isDone = useSignal(false);
  async function run() {
    try {
      await copy(typeof text === "string" ? text : text());
    } catch {
      say(t("copy.failed"), { kind: "bad" });
      return;
    }
    isDone.value = true;
    setTimeout(() => (isDone.value = false), SHOWN_MS);
  }
  const shown = isDone.value ? t("copy.done") : label;
  return html`<button type="button" class="icon" aria-label=${shown} title=${label} onClick=${run}>
    <${Icon} name=${isDone.value ? "check" : "copy"} />${hasWords && html`<span>${shown}</span>`}
  </button>`;
}
