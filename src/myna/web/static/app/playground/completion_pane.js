// One model's side of a completion: a text and the model's continuations.
import { html } from "../html.js";
import { Icon } from "../icons.js";
import { t } from "../language.js";
import { CopyButton } from "../text/copy_button.js";
import { AnswerView, Ending } from "./answer_view.js";
import { Versions } from "./answer_turn.js";
import { answer, isRunning, obstacle, run, stop } from "./answering.js";
import { letterOf } from "./chat_pane.js";
import { changePane, current } from "./conversations.js";
import { Measures } from "./measures.js";
import { ModelPicker } from "./model_picker.js";
import { wordOfName } from "./parameter_words.js";
import { areShown, Legend } from "./probabilities.js";
import { TokenText } from "./token_text.js";
import { chosenAnswer } from "./values.js";

/** @typedef {import("./values.js").Pane} Pane */

/** @param {{pane: Pane, place: number, isSplit: boolean}} props */
export function CompletionPane({ pane, place, isSplit }) {
  const name = isSplit ? t("pane.label", { letter: letterOf(place) }) : t("pane.only");
  return html`<section class="pane completion" aria-label=${name}>
    <div class="pane-top">
      ${isSplit && html`<span class="letter" aria-hidden="true">${letterOf(place)}</span>`}
      <${ModelPicker} pane=${pane} label=${isSplit ? `${t("model.label")} ${letterOf(place)}` : t("model.label")} />
    </div>
    <div class="turns" tabindex="0" role="log" aria-live="off" aria-label=${t("pane.turns", { name })}>
      <${Prompt} pane=${pane} place=${place} isSplit=${isSplit} />
      <${Continuation} pane=${pane} />
    </div>
  </section>`;
}

/** @param {{pane: Pane, place: number, isSplit: boolean}} props */
function Prompt({ pane, place, isSplit }) {
  const isBusy = isRunning(pane.id);
  const isStuck = obstacle.value?.paneId === pane.id;
  /** @param {KeyboardEvent} event */
  function press(event) {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && !isBusy) complete(pane);
  }
  return html`<label class="unseen" for=${`prompt-${place}`}>${isSplit ? `${t("prompt.label")} ${letterOf(place)}` : t("prompt.label")}</label>
    <textarea
      id=${`prompt-${place}`}
      class="prompt"
      rows="9"
      dir="auto"
      placeholder=${t("prompt.hint")}
      value=${pane.prompt}
      onInput=${(/** @type {any} */ event) => changePane(pane.id, (old) => ({ ...old, prompt: event.target.value }))}
      onKeyDown=${press}
    />
    ${isStuck && html`<p class="trouble" role="alert">${t("composer.obstacle", { name: t(wordOfName(obstacle.value?.name ?? "")) })}</p>`}
    <div class="row">
      ${isBusy
        ? html`<button type="button" class="primary" onClick=${() => stop(current.value.panes)}><${Icon} name="stop" />${t("composer.stop")}</button>`
        : html`<button type="button" class="primary" onClick=${() => complete(pane)}><${Icon} name="play" />${t("prompt.go")}</button>`}
      <span class="quiet">${t("prompt.keys")}</span>
    </div>`;
}

/** Continue the current text. @param {Pane} pane */
function complete(pane) {
  changePane(pane.id, (old) => ({ ...old, turns: [] }));
  answer(pane.id);
}

/** @param {{pane: Pane}} props */
function Continuation({ pane }) {
  const turn = pane.turns[0];
  const shown = turn && chosenAnswer(turn);
  if (!turn || !shown) return null;
  const isBusy = isRunning(pane.id);

  function keep() {
    const isEchoed = pane.values.echo === true;
    changePane(pane.id, (old) => ({ ...old, prompt: isEchoed ? shown?.text ?? "" : old.prompt + shown?.text, turns: [] }));
  }
  const isPlain = !areShown.value || shown.tokens.length === 0;
  return html`<article class="turn assistant" aria-label=${t("turn.assistant", { model: shown.model })} aria-busy=${shown.state === "running"}>
    ${areShown.value && html`<${Legend} />`}
    ${shown.state === "running" && shown.text === ""
      ? html`<${AnswerView} paneId=${pane.id} answer=${shown} isLast=${true} onRetry=${() => run(pane.id, turn.id)} />`
      : html`${isPlain ? html`<div class="continued" dir="auto">${shown.text}</div>` : html`<${TokenText} tokens=${shown.tokens} />`}
          ${areShown.value && isPlain && shown.state !== "running" && shown.text !== "" && html`<p class="quiet">${t("tokens.none")}</p>`}
          <${Ending} paneId=${pane.id} answer=${shown} onRetry=${() => run(pane.id, turn.id)} />`}
    ${shown.state !== "running" &&
    html`<div class="turn-tools">
      <${Versions} paneId=${pane.id} turn=${turn} />
      <button type="button" disabled=${isBusy || shown.text === ""} onClick=${keep}><${Icon} name="check" />${t("prompt.keep")}</button>
      <button type="button" class="icon" aria-label=${t("turn.again")} title=${t("turn.again")} disabled=${isBusy} onClick=${() => run(pane.id, turn.id)}><${Icon} name="again" /></button>
      <${CopyButton} text=${shown.text} />
      <${Measures} answer=${shown} />
    </div>`}
  </article>`;
}
