// The dashboard: what this server has.
import { html } from "../html.js";
import { moment, t } from "../language.js";
import { models } from "../session.js";

export function Page() {
  return html`<main id="main" class="dashboard">
    <h1>${t("page.dashboard")}</h1>
    <section class="card" aria-labelledby="models">
      <h2 id="models">${t("dashboard.models")}</h2>
      ${models.value.length ? html`<${Models} />` : html`<p>${t("dashboard.none")}</p>`}
    </section>
  </main>`;
}

function Models() {
  return html`<div class="scrolls" tabindex="0" role="group" aria-labelledby="models">
    <table>
      <thead>
        <tr>
          <th scope="col">${t("dashboard.model")}</th>
          <th scope="col">${t("dashboard.owner")}</th>
          <th scope="col">${t("dashboard.created")}</th>
        </tr>
      </thead>
      <tbody>
        ${models.value.map(
          (model) => html`<tr key=${model.id}>
            <th scope="row">${model.id}</th>
            <td>${model.owned_by}</td>
            <td>${moment(model.created * 1000)}</td>
          </tr>`,
        )}
      </tbody>
    </table>
  </div>`;
}
