// Why a part of the dashboard is empty or out of date, and a button to try again.
import { html } from "../html.js";
import { t } from "../language.js";

/** @param {{of: import("./resource.js").Resource}} props */
export function Trouble({ of: { error, reload } }) {
  return html`<div class="trouble row" role="alert">
    ${error && html`<p class="grow">${error.message}</p><button type="button" onClick=${reload}>${t("away.again")}</button>`}
  </div>`;
}
