// The audit log: who changed what, when, and from where.
import { html } from "../html.js";
import { moment, t } from "../language.js";
import { useResource } from "./resource.js";
import { Trouble } from "./trouble.js";

export function Acts() {
  const resource = useResource("v1/organization/audit_logs?limit=100");
  const { data } = resource;
  const rows = data?.data ?? [];
  return html`<section class="card" aria-labelledby="acts">
    <h2 id="acts">${t("dashboard.acts")}</h2>
    <${Trouble} of=${resource} />
    ${data && !rows.length && html`<p class="quiet">${t("acts.none")}</p>`}
    ${rows.length > 0 &&
    html`<div class="scrolls" tabindex="0" role="group" aria-labelledby="acts">
      <table>
        <thead>
          <tr>
            ${["when", "what", "which", "who", "where"].map((name) => html`<th key=${name} scope="col">${t(`acts.${name}`)}</th>`)}
          </tr>
        </thead>
        <tbody>
          ${rows.map(
            (/** @type {any} */ act) => html`<tr key=${act.id}>
              <td>${moment(act.effective_at * 1000)}</td>
              <td><code>${act.type}</code></td>
              <td>${about(act)}</td>
              <td>${actor(act.actor)}</td>
              <td>${addressOf(act.actor) ?? t("acts.here")}</td>
            </tr>`,
          )}
        </tbody>
      </table>
    </div>`}
  </section>`;
}

/** What the act was done to: its name where the log has one. @param {any} act */
function about(act) {
  const detail = act[act.type] ?? {};
  return detail.data?.name ?? detail.changes_requested?.name ?? detail.id ?? "";
}

/** @param {any} actor @returns {string} */
const actor = (actor) => actor.api_key?.id ?? actor.session?.user?.id ?? actor.type;

/** @param {any} actor @returns {string | null} */
const addressOf = (actor) => actor.ip_address ?? actor.session?.ip_address ?? null;
