// The open conversation as code that sends exactly the request that the page would send.
import { html, useEffect, useRef, useSignal } from "../html.js";
import { urlOf } from "../api.js";
import { Icon } from "../icons.js";
import { t } from "../language.js";
import { Coloured } from "../text/coloured.js";
import { CopyButton } from "../text/copy_button.js";
import { letterOf } from "./chat_pane.js";
import { current } from "./conversations.js";
import { wordOfName } from "./parameter_words.js";
import { BadParameter, bodyOf } from "./request.js";
import { curlCode } from "./snippets/curl.js";
import { nodeCode } from "./snippets/node.js";
import { pythonCode } from "./snippets/python.js";

/** @type {Record<string, {label: string, language: string, write: typeof pythonCode}>} */
const KINDS = {
  python: { label: "Python", language: "python", write: pythonCode },
  node: { label: "Node", language: "javascript", write: nodeCode },
  curl: { label: "curl", language: "bash", write: curlCode },
};

/** The conversation up to the last message to the model. @param {import("./values.js").Pane} pane */
function askedTurns({ turns }) {
  const last = turns.findLastIndex((turn) => turn.role !== "assistant");
  return turns.slice(0, last + 1);
}

/** @param {{onClose: () => void}} props */
export function CodeDialog({ onClose }) {
  const dialog = useRef(/** @type {HTMLDialogElement | null} */ (null));
  const [kind, place] = [useSignal("python"), useSignal(0)];
  useEffect(() => dialog.current?.showModal(), []);
  const { mode, panes } = current.value;
  const pane = panes[place.value] ?? panes[0];
  const { language, write } = KINDS[kind.value] ?? KINDS.python;
  let [code, trouble] = ["", ""];
  try {
    code = write(mode, bodyOf(mode, pane, askedTurns(pane)), urlOf("v1"));
  } catch (error) {
    if (!(error instanceof BadParameter)) throw error;
    trouble = t("composer.obstacle", { name: t(wordOfName(error.name)) });
  }
  return html`<dialog ref=${dialog} class="code-dialog" aria-labelledby="code-title" onClose=${onClose}>
    <div class="drawer-top">
      <h2 id="code-title" class="grow">${t("tool.code")}</h2>
      <button type="button" class="icon" aria-label=${t("dialog.close")} onClick=${() => dialog.current?.close()}><${Icon} name="close" /></button>
    </div>
    <div class="row">
      <div class="segments" role="group" aria-label=${t("code.which")}>
        ${Object.entries(KINDS).map(
          ([name, { label }]) =>
            html`<button key=${name} type="button" aria-pressed=${name === kind.value} onClick=${() => (kind.value = name)}>${label}</button>`,
        )}
      </div>
      ${panes.length > 1 &&
      html`<div class="segments" role="group" aria-label=${t("panel.whose")}>
        ${panes.map(
          (other, at) =>
            html`<button key=${other.id} type="button" aria-pressed=${at === place.value} onClick=${() => (place.value = at)}>${letterOf(at)}</button>`,
        )}
      </div>`}
      <span class="grow" />
      ${code && html`<${CopyButton} text=${code} label=${t("code.copy")} hasWords />`}
    </div>
    ${trouble
      ? html`<p class="trouble" role="alert">${trouble}</p>`
      : html`<pre tabindex="0" role="group" aria-label=${t("code.label", { language: KINDS[kind.value]?.label ?? "" })}><${Coloured} code=${code} language=${language} /></pre>`}
  </dialog>`;
}
