// One model's side of a chat: its system prompt and the turns.
import { html, useEffect, useMemo, useRef } from "../html.js";
import { t } from "../language.js";
import { isRunning } from "./answering.js";
import { AnswerTurn } from "./answer_turn.js";
import { change, changePane, current } from "./conversations.js";
import { ModelPicker } from "./model_picker.js";
import { areShown, Legend } from "./probabilities.js";
import { SaidTurn } from "./said_turn.js";

/** @typedef {import("./values.js").Pane} Pane */
/** @typedef {import("./values.js").Turn} Turn */

const NEAR_END_PX = 80;

/** @param {{pane: Pane, place: number, isSplit: boolean}} props */
export function ChatPane({ pane, place, isSplit }) {
  const scroller = useRef(/** @type {HTMLElement | null} */ (null));
  const isFollowing = useRef(true);
  const lastTop = useRef(0);
  const content = useRef(/** @type {HTMLElement | null} */ (null));
  useEffect(() => {
    const follow = () => {
      if (isFollowing.current) scroller.current?.scrollTo({ top: scroller.current.scrollHeight });
    };
    const watcher = new ResizeObserver(follow);
    for (const element of [scroller.current, content.current]) if (element) watcher.observe(element);
    return () => watcher.disconnect();
  }, []);

  function watch() {
    const box = scroller.current;
    if (!box) return;
    const isNearEnd = box.scrollHeight - box.scrollTop - box.clientHeight < NEAR_END_PX;
    // What was added since it was scrolled to the end puts the end far away, too; only the reader moves up.
    isFollowing.current = isNearEnd || (isFollowing.current && box.scrollTop >= lastTop.current);
    lastTop.current = box.scrollTop;
  }

  const name = isSplit ? t("pane.label", { letter: letterOf(place) }) : t("pane.only");
  const isBusy = isRunning(pane.id);
  return html`<section class="pane" aria-label=${name}>
    <div class="pane-top">
      ${isSplit && html`<span class="letter" aria-hidden="true">${letterOf(place)}</span>`}
      <${ModelPicker} pane=${pane} label=${isSplit ? `${t("model.label")} ${letterOf(place)}` : t("model.label")} />
    </div>
    <div class="turns" ref=${scroller} onScroll=${watch} tabindex="0" role="log" aria-live="off" aria-label=${t("pane.turns", { name })}>
      <div ref=${content}>
        <${System} pane=${pane} />
        ${pane.turns.length === 0 && html`<${Welcome} />`}
        ${areShown.value && html`<${Legend} />`}
        ${pane.turns.map((turn, at) => html`<${KeptTurn} key=${turn.id} pane=${pane} turn=${turn} isLast=${at === pane.turns.length - 1} isBusy=${isBusy} />`)}
      </div>
    </div>
  </section>`;
}

/** @param {number} place */
export const letterOf = (place) => "AB"[place] ?? "";

/** A turn, re-rendered only when it has changed. @param {{pane: Pane, turn: Turn, isLast: boolean, isBusy: boolean}} props */
function KeptTurn({ pane, turn, isLast, isBusy }) {
  return useMemo(() => {
    const View = turn.role === "assistant" ? AnswerTurn : SaidTurn;
    return html`<${View} paneId=${pane.id} turn=${turn} isLast=${isLast} isBusy=${isBusy} />`;
  }, [pane.id, turn, isLast, isBusy]);
}

/** @param {{pane: Pane}} props */
function System({ pane }) {
  const label = t(current.value.mode === "responses" ? "system.instructions" : "system.label");
  return html`<details class="system" open=${pane.system !== ""}>
    <summary>${label}</summary>
    <textarea
      rows="3"
      aria-label=${label}
      placeholder=${t("system.hint")}
      value=${pane.system}
      onInput=${(/** @type {any} */ event) => changePane(pane.id, (old) => ({ ...old, system: event.target.value }))}
    />
  </details>`;
}

const EXAMPLES = ["welcome.example1", "welcome.example2", "welcome.example3", "welcome.example4"];

function Welcome() {
  /** @param {string} text */
  function take(text) {
    change((old) => ({ ...old, draft: text }));
    /** @type {HTMLElement | null} */ (document.querySelector(".composer textarea"))?.focus();
  }
  return html`<div class="welcome">
    <img class="mark" src="static/mark.svg" alt="" width="72" height="72" />
    <p>${t("welcome.chat")}</p>
    <ul class="examples" aria-label=${t("welcome.examples")}>
      ${EXAMPLES.map((word) => html`<li key=${word}><button type="button" onClick=${() => take(t(word))}>${t(word)}</button></li>`)}
    </ul>
  </div>`;
}
