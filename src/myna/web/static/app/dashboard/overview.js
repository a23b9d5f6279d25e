// Usage: totals, charts over time, a table by model or key.
import { html, useSignal } from "../html.js";
import { number, t } from "../language.js";
import { Chart } from "./chart.js";
import { Now } from "./now.js";
import { RANGES, startOf, usagePath } from "./ranges.js";
import { useResource } from "./resource.js";
import { count, money, time } from "./shown.js";
import { groupsOf, joined, latencyOf, linesOf, MEASURES, OTHERS, sumOf } from "./sums.js";
import { Table } from "./table.js";
import { Trouble } from "./trouble.js";

const EVERY_MS = 10_000;
const FIGURES = ["requests", "input", "output", "errors", "first", "total", "cost"];

/** @param {{nameOfKey: (id: string) => string, projects: any[], status: any}} props */
export function Overview({ nameOfKey, projects, status }) {
  const [range, by, project] = [useSignal("day"), useSignal("model"), useSignal("")];
  const shown = RANGES[range.value] ?? RANGES.day;
  // These paths change only when their buckets do, so that updates poll the same resources.
  const bucket = startOf(shown, Date.now() / 1000) + shown.lengthS - 1;
  /** @param {"completions" | "embeddings"} kind */
  const pathOf = (kind) => usagePath(kind, shown, bucket, /** @type {any} */ (by.value), project.value);
  const completions = useResource(pathOf("completions"), EVERY_MS);
  const embeddings = useResource(pathOf("embeddings"), EVERY_MS);
  // Zeros would look like a use of nothing.
  const isKnown = completions.data !== null || completions.error === null;
  const buckets = joined(completions.data?.data ?? [], embeddings.data?.data ?? []);
  const sum = sumOf(buckets.flatMap((/** @type {any} */ found) => found.results));
  function nameOf(/** @type {string | null} */ name) {
    if (name === OTHERS) return t("usage.others");
    if (!name) return t("usage.unnamed");
    return by.value === "model" ? name : nameOfKey(name);
  }
  const times = buckets.map((/** @type {any} */ found) => found.start_time);
  return html`
    <${Now} status=${status} />
    <section class="card" aria-labelledby="usage">
      <div class="bar">
        <h2 id="usage" class="grow">${t("usage.title")}</h2>
        <${Choice} label=${t("usage.range")} chosen=${range} names=${Object.keys(RANGES)} word="range" />
        <${Choice} label=${t("usage.by")} chosen=${by} names=${["model", "api_key_id"]} word="by" />
        ${projects.length > 1 && html`<${ProjectChoice} projects=${projects} chosen=${project} />`}
      </div>
      <${Trouble} of=${completions.error ? completions : embeddings} />
      ${isKnown &&
      html`<${Sums} sum=${sum} />
        <div class="charts">
          ${Object.entries(MEASURES).map(
            ([name, measure]) => html`<${Chart}
              key=${name}
              title=${t(`usage.${name}`)}
              times=${times}
              lines=${linesOf(buckets, by.value, measure)}
              nameOf=${nameOf}
              show=${(/** @type {number | null} */ value) => count(value ?? 0)}
            />`,
          )}
          <${Chart} title=${t("usage.first")} times=${times} lines=${latencyOf(buckets, by.value)} nameOf=${nameOf} show=${time} />
        </div>
        <${Groups} groups=${groupsOf(buckets, by.value)} nameOf=${nameOf} word=${by.value} />`}
    </section>
  `;
}

/** @param {{label: string, chosen: {value: string}, names: string[], word: string}} props */
function Choice({ label, chosen, names, word }) {
  return html`<div class="segments" role="group" aria-label=${label}>
    ${names.map(
      (name) =>
        html`<button key=${name} type="button" aria-pressed=${name === chosen.value} onClick=${() => (chosen.value = name)}>
          ${t(`${word}.${name}`)}
        </button>`,
    )}
  </div>`;
}

/** @param {{projects: any[], chosen: {value: string}}} props */
export function ProjectChoice({ projects, chosen }) {
  return html`<select
    aria-label=${t("keys.project")}
    value=${chosen.value}
    onChange=${(/** @type {any} */ event) => (chosen.value = event.target.value)}
  >
    <option value="">${t("usage.allProjects")}</option>
    ${projects.map((project) => html`<option key=${project.id} value=${project.id}>${project.name}</option>`)}
  </select>`;
}

/** @param {{sum: import("./sums.js").Sum}} props */
function Sums({ sum }) {
  const rows = [
    ["usage.requests", count(sum.requests)],
    ["usage.input", count(sum.input)],
    ["usage.output", count(sum.output)],
    ["usage.cached", sum.input ? number(sum.cached / sum.input, { style: "percent" }) : "–"],
    ["usage.first", time(sum.firstMs)],
    ["usage.total", time(sum.totalMs)],
    ["usage.errors", count(sum.failed + sum.refused)],
    ["usage.cost", money(sum.cost)],
  ];
  return html`<dl class="sums">
    ${rows.map(([word, value]) => html`<div key=${word}><dt>${t(word ?? "")}</dt><dd>${value}</dd></div>`)}
  </dl>`;
}

/** @param {{groups: [string, import("./sums.js").Sum][], nameOf: (name: string) => string, word: string}} props */
function Groups({ groups, nameOf, word }) {
  if (!groups.length) return null;
  /** @type {import("./table.js").Column[]} */
  const columns = [
    { word: `by.${word}`, kind: "name" },
    ...FIGURES.map((name) => ({ word: `usage.${name}`, kind: /** @type {const} */ ("figure") })),
  ];
  /** @param {string} name @param {import("./sums.js").Sum} sum */
  const cellsOf = (name, sum) => [
    nameOf(name),
    count(sum.requests),
    count(sum.input),
    count(sum.output),
    count(sum.failed + sum.refused),
    time(sum.firstMs),
    time(sum.totalMs),
    money(sum.cost),
  ];
  return html`<${Table} label=${t("usage.table")} columns=${columns} rows=${groups.map(([name, sum]) => ({ key: name, cells: cellsOf(name, sum) }))} />`;
}
