// Why a part of the dashboard is empty or old.
import { html } from "../html.js";

/** @param {{error: Error | null}} props */
export function Trouble({ error }) {
  return html`<p class="trouble" role="alert">${error?.message ?? ""}</p>`;
}
