// The dashboard: usage, current load, requests and batches; for administrators, models, keys and the audit log.
import { html, signal, useSignal } from "../html.js";
import { t } from "../language.js";
import { Acts } from "./acts.js";
import { Batches } from "./batches.js";
import { Keys } from "./keys.js";
import { Models } from "./models.js";
import { useKeyNames } from "./names.js";
import { Overview } from "./overview.js";
import { Requests } from "./requests.js";
import { useResource } from "./resource.js";
import { Trouble } from "./trouble.js";

const PARTS = ["overview", "requests", "batches", "models", "keys", "acts"];
const EVERY_MS = 5000;

const named = () => window.location.hash.split("/")[2] ?? "";
const part = signal(named());
window.addEventListener("hashchange", () => (part.value = named()));

export function Page() {
  const chosen = PARTS.includes(part.value) ? part.value : "overview";
  const projects = useResource("v1/organization/projects?limit=100");
  const status = useResource("v1/organization/status", EVERY_MS);
  const isAdmin = projects.data !== null;
  const parts = isAdmin ? PARTS : PARTS.slice(0, 3);
  const listed = projects.data?.data ?? [];
  const numChanges = useSignal(0);
  const names = useKeyNames(listed, numChanges.value);
  return html`<main id="main" class="dashboard">
    <div class="bar">
      <h1 class="grow">${t("page.dashboard")}</h1>
      <nav class="segments" aria-label=${t("dashboard.parts")}>
        ${parts.map(
          (name) =>
            html`<a key=${name} class="button" href=${`#/dashboard/${name}`} aria-current=${name === chosen ? "page" : undefined}
              >${t(`dashboard.${name}`)}</a
            >`,
        )}
      </nav>
    </div>
    ${chosen === "overview" && html`<${Overview} nameOfKey=${names.nameOf} projects=${listed} status=${status} />`}
    ${chosen === "requests" && html`<${Requests} names=${names} />`}
    ${chosen === "batches" && html`<${Batches} />`}
    ${PARTS.indexOf(chosen) > 2 && !isAdmin && html`<section class="card" aria-label=${t(`dashboard.${chosen}`)}><${Trouble} of=${projects} /></section>`}
    ${chosen === "models" && isAdmin && html`<${Models} />`}
    ${chosen === "keys" && isAdmin && html`<${Keys} projects=${projects} onChange=${() => (numChanges.value += 1)} />`}
    ${chosen === "acts" && isAdmin && html`<${Acts} names=${names} projects=${listed} />`}
  </main>`;
}
