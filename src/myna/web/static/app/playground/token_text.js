// An answer token by token: each in the colour of its probability, with its alternatives when it is
// pointed at or reached with the arrow keys.
import { html, useLayoutEffect, useMemo, useRef, useSignal } from "../html.js";
import { number, t } from "../language.js";
import { levelOf } from "./probabilities.js";

/** @typedef {import("./values.js").Token} Token */

/** @param {{tokens: Token[]}} props */
export function TokenText({ tokens }) {
  const at = useSignal(-1);
  const box = useRef(/** @type {HTMLElement | null} */ (null));

  /** @param {KeyboardEvent} event */
  function move(event) {
    const steps = /** @type {Record<string, number>} */ ({ ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 });
    const step = steps[event.key];
    if (event.key === "Escape") at.value = -1;
    if (!step) return;
    event.preventDefault();
    at.value = Math.max(0, Math.min(tokens.length - 1, at.value + step));
    const token = box.current?.querySelectorAll(".token")[at.value];
    if (token instanceof HTMLElement) token.focus();
  }

  /** @param {Event} event */
  function point(event) {
    const token = /** @type {HTMLElement} */ (event.target).closest("[data-place]");
    at.value = token instanceof HTMLElement ? Number(token.dataset.place) : -1;
  }

  const drawn = useMemo(() => tokens.map((token, place) => drawToken(token, place)), [tokens]);
  const pointed = tokens[at.value];
  return html`<div class="tokens" ref=${box} onMouseOver=${point} onMouseLeave=${() => (at.value = -1)} onFocusIn=${point} onFocusOut=${() => (at.value = -1)} onKeyDown=${move}>
    <div role="listbox" aria-label=${t("tokens.label")} aria-orientation="horizontal">${drawn}</div>
    ${pointed && html`<${Alternatives} token=${pointed} place=${at.value} box=${box} />`}
  </div>`;
}

/** @param {Token} token @param {number} place */
function drawToken({ text, logprob }, place) {
  const level = logprob === null ? "none" : levelOf(logprob);
  return html`<span
    key=${place}
    role="option"
    aria-selected="false"
    class=${`token p${level}`}
    data-place=${place}
    tabindex=${place === 0 ? 0 : -1}
    aria-label=${`${visible(text)} ${logprob === null ? "" : percent(logprob)}`}
    >${text}</span
  >`;
}

/** The alternatives to one token, directly below it. @param {{token: Token, place: number, box: any}} props */
function Alternatives({ token, place, box }) {
  const card = useRef(/** @type {HTMLElement | null} */ (null));
  useLayoutEffect(() => {
    const anchor = box.current?.querySelector(`[data-place="${place}"]`);
    if (!anchor || !card.current) return;
    const [outer, inner] = [box.current.getBoundingClientRect(), anchor.getClientRects()[0]];
    if (!inner) return;
    const room = Math.max(0, outer.width - card.current.offsetWidth);
    card.current.style.left = `${Math.min(Math.max(0, inner.left - outer.left), room)}px`;
    card.current.style.top = `${inner.bottom - outer.top + 4}px`;
  }, [place, token]);
  const others = token.top.length ? token.top : [{ text: token.text, logprob: token.logprob ?? 0 }];
  const isListed = others.some((other) => other.text === token.text);
  const shown = isListed || token.logprob === null ? others : [{ text: token.text, logprob: token.logprob }, ...others];
  return html`<div class="alternatives card" role="status" ref=${card}>
    <span class="unseen">${t("tokens.alternatives", { token: visible(token.text) })}</span>
    ${shown.map(
      (other) => html`<div class=${other.text === token.text ? "alternative taken" : "alternative"} key=${other.text}>
        <code>${visible(other.text)}</code>
        <meter min="0" max="1" value=${Math.exp(other.logprob)} aria-hidden="true" />
        <span>${token.logprob === null ? "–" : percent(other.logprob)}</span>
      </div>`,
    )}
  </div>`;
}

/** @param {number} logprob */
function percent(logprob) {
  const share = Math.exp(logprob);
  return number(share, { style: "percent", maximumFractionDigits: share > 0.1 ? 0 : share > 0.001 ? 1 : 3 });
}

/** A token with its whitespace made visible. @param {string} text */
const visible = (text) => text.replaceAll(" ", "␣").replaceAll("\n", "⏎").replaceAll("\t", "⇥") || "∅";
