// How fast and how long an answer was.
import { html } from "../html.js";
import { number, t } from "../language.js";
import { speedOf } from "./folding.js";

/** @param {{answer: import("./values.js").Answer}} props */
export function Measures({ answer }) {
  const { firstMs, completionTokens, promptTokens, cachedTokens } = answer.measures;
  const speed = speedOf(answer, 1);
  const parts = [];
  if (firstMs !== null) parts.push([t("measure.first"), seconds(firstMs), t("measure.first.meaning")]);
  if (speed !== null) {
    parts.push([t("measure.speed"), t("measure.perSecond", { speed: number(speed, { maximumFractionDigits: 1 }) }), t("measure.speed.meaning")]);
  }
  if (completionTokens) {
    parts.push([t("measure.tokens"), t("measure.inOut", { prompt: number(promptTokens), completion: number(completionTokens) }), t("measure.tokens.meaning")]);
  }
  if (cachedTokens) parts.push([t("measure.cached"), number(cachedTokens), t("measure.cached.meaning")]);
  if (answer.finish && !["stop", "tool_calls"].includes(answer.finish)) {
    parts.push([t("measure.finish"), t(`finish.${answer.finish}`), ""]);
  }
  if (parts.length === 0) return null;
  return html`<dl class="measures">
    ${parts.map(([name, value, meaning]) => html`<div key=${name} title=${meaning}><dt>${name}</dt><dd>${value}</dd></div>`)}
  </dl>`;
}

/** @param {number} ms */
const seconds = (ms) =>
  ms < 1000
    ? t("measure.ms", { ms: number(ms, { maximumFractionDigits: 0 }) })
    : t("measure.s", { s: number(ms / 1000, { maximumFractionDigits: 2 }) });
