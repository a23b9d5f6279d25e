// Whether answers show each token's probability, and requests ask for it.
import { html, signal } from "../html.js";
import { t } from "../language.js";
import { change, current } from "./conversations.js";

const ASKED = { chat: { logprobs: true, top_logprobs: 5 }, responses: { top_logprobs: 5 }, completion: { logprobs: 5 } };

export const areShown = signal(false);

/** Show or hide them, and set whether the open conversation's requests ask for them. */
export function showProbabilities() {
  areShown.value = !areShown.value;
  const asked = ASKED[current.value.mode];
  change((old) => ({
    ...old,
    panes: old.panes.map((pane) => {
      const { logprobs, top_logprobs: top, ...others } = pane.values;
      return { ...pane, values: areShown.value ? { ...others, ...asked } : others };
    }),
  }));
}

/** From 0 for the least likely to 9 for nearly certain. @param {number} logprob */
export const levelOf = (logprob) => Math.max(0, Math.min(9, Math.floor(Math.exp(logprob) * 10)));

/** The legend of the colours. */
export function Legend() {
  const levels = Array.from({ length: 10 }, (_, level) => html`<span class=${`token p${level}`} key=${level} />`);
  return html`<p class="legend quiet"><span>${t("tokens.unlikely")}</span>${levels}<span>${t("tokens.sure")}</span></p>`;
}
