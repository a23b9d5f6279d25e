// Short messages at the page's edge: read by screen readers, shown for a while, with an optional action.
import { html, signal } from "./html.js";
import { t } from "./language.js";

/** @typedef {{id: number, text: string, kind: "plain" | "bad", action?: {label: string, run: () => void}}} Notice */

const SHOWN_MS = 8000;
const notices = signal(/** @type {Notice[]} */ ([]));
let last = 0;

/** @param {number} id */
function drop(id) {
  notices.value = notices.value.filter((notice) => notice.id !== id);
}

/**
 * Show a notice.
 * @param {string} text @param {{kind?: "plain" | "bad", action?: {label: string, run: () => void}}} [how]
 */
export function say(text, { kind = "plain", action } = {}) {
  const id = ++last;
  notices.value = [...notices.value.slice(-2), { id, text, kind, action }];
  setTimeout(() => drop(id), SHOWN_MS);
}

export function Notices() {
  const shown = notices.value;
  return html`<div class="notices" role="status" aria-live="polite">
    ${shown.map(
      (notice) => html`<div key=${notice.id} class=${`notice ${notice.kind}`}>
        <span>${notice.text}</span>
        ${notice.action &&
        html`<button
          type="button"
          class="link"
          onClick=${() => {
            drop(notice.id);
            notice.action?.run();
          }}
        >
          ${notice.action.label}
        </button>`}
        <button type="button" class="icon" aria-label=${t("notice.close")} onClick=${() => drop(notice.id)}>×</button>
      </div>`,
    )}
  </div>`;
}
