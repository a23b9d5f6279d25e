// Line charts over time, drawn by uPlot; the legend shows the values at the pointer.
import uPlot from "../../vendor/uplot.js";
import { html, useLayoutEffect, useRef, useSignal } from "../html.js";
import { moment, number, t } from "../language.js";
import { theme } from "../theme.js";

const HEIGHT = 190;

/** @param {HTMLElement} element @param {string} name */
const colour = (element, name) => getComputedStyle(element).getPropertyValue(name).trim();

/**
 * @param {{title: string, times: number[], lines: import("./sums.js").Line[], nameOf: (name: string | null) => string,
 *   show: (value: number | null) => string}} props
 * `times` are Unix seconds, one for each value of a line.
 */
export function Chart({ title, times, lines, nameOf, show }) {
  const place = useRef(/** @type {HTMLDivElement | null} */ (null));
  const at = useSignal(/** @type {number | null} */ (null));
  const isDark = theme.value;
  useLayoutEffect(() => {
    const element = place.current;
    if (!element || !lines.length) return undefined;
    const plot = new /** @type {any} */ (uPlot)(options(element, lines, at), [times, ...lines.map((line) => line.values)], element);
    const watcher = new ResizeObserver(() => plot.setSize({ width: element.clientWidth, height: HEIGHT }));
    watcher.observe(element);
    return () => {
      watcher.disconnect();
      plot.destroy();
    };
  }, [times, lines, isDark]);
  const seen = at.value === null ? undefined : times[at.value];
  return html`<figure class="chart">
    <figcaption>
      <strong>${title}</strong>
      <span class="quiet">${seen === undefined ? "" : moment(seen * 1000)}</span>
    </figcaption>
    ${lines.length === 0 && html`<p class="quiet">${t("usage.none")}</p>`}
    <div class="plot" ref=${place} aria-hidden="true" />
    <ul class="chart-lines">
      ${lines.map(
        (line, index) => html`<li key=${line.name}>
          <span class=${`swatch line-${index}`} />${nameOf(line.name)}
          <span class="value">${show(at.value === null ? line.total : (line.values[at.value] ?? null))}</span>
        </li>`,
      )}
    </ul>
  </figure>`;
}

/**
 * @param {HTMLElement} element @param {import("./sums.js").Line[]} lines
 * @param {{value: number | null}} at
 */
function options(element, lines, at) {
  const axis = {
    stroke: colour(element, "--ink-soft"),
    grid: { stroke: colour(element, "--line"), width: 1 },
    ticks: { stroke: colour(element, "--line"), width: 1 },
  };
  return {
    width: element.clientWidth,
    height: HEIGHT,
    legend: { show: false },
    cursor: { drag: { x: false, y: false }, points: { size: 7 } },
    hooks: { setCursor: [(/** @type {any} */ plot) => (at.value = plot.cursor.idx ?? null)] },
    scales: { y: { range: (/** @type {any} */ _, /** @type {number} */ __, /** @type {number} */ most) => [0, Math.max(most, 1)] } },
    axes: [{ ...axis, values: (/** @type {any} */ _, /** @type {number[]} */ marks) => marks.map(clock(marks)) }, { ...axis, size: 56, values: (/** @type {any} */ _, /** @type {number[]} */ marks) => marks.map(short) }],
    series: [
      {},
      ...lines.map((line, index) => ({
        label: line.name ?? "",
        stroke: colour(element, `--line-${index}`),
        width: 2,
        spanGaps: true,
        points: { show: isSparse(line.values), size: 5 },
      })),
    ],
  };
}

/** A line needs two values; fewer are shown as points. @param {(number | null)[]} values */
const isSparse = (values) => values.filter((value) => value !== null).length < 3;

/** The format of tick labels: times within some days, else dates. @param {number[]} marks Unix seconds */
function clock(marks) {
  const isLong = (marks.at(-1) ?? 0) - (marks[0] ?? 0) > 3 * 86_400;
  const format = new Intl.DateTimeFormat(
    document.documentElement.lang,
    isLong ? { month: "numeric", day: "numeric" } : { hour: "2-digit", minute: "2-digit", hourCycle: "h23" },
  );
  return (/** @type {number} */ mark) => format.format(mark * 1000);
}

/** @param {number} value */
const short = (value) => number(value, { notation: "compact" });
