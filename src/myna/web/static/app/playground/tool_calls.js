// The tool calls of an answer, and fields for their results.
import { html, useSignal } from "../html.js";
import { t } from "../language.js";
import { Coloured } from "../text/coloured.js";
import { giveResults } from "./answering.js";
import { current } from "./conversations.js";

/** @typedef {import("./values.js").Answer} Answer */

/** @param {{paneId: string, answer: Answer, isOpen: boolean}} props */
export function ToolCalls({ paneId, answer, isOpen }) {
  return html`<div class="tool-calls">
    ${answer.toolCalls.map(
      (call) => html`<div class="tool-call" key=${call.id}>
        <p><strong>${call.name}</strong> <span class="quiet">${t("tools.called")}</span></p>
        <${CallArguments} name=${call.name} text=${call.arguments} />
      </div>`,
    )}
    ${isOpen && html`<${ToolResults} paneId=${paneId} answer=${answer} />`}
  </div>`;
}

/** @param {{name: string, text: string}} props */
export function CallArguments({ name, text }) {
  return html`<pre tabindex="0" role="group" aria-label=${t("tools.arguments", { name })}><${Coloured} code=${pretty(text)} language="json" /></pre>`;
}

/** @param {{paneId: string, answer: Answer}} props */
export function ToolResults({ paneId, answer }) {
  const results = useSignal(/** @type {Record<string, string>} */ ({}));
  function send() {
    const pane = current.value.panes.find((other) => other.id === paneId);
    const said = answer.toolCalls.map((call) => [call.id, results.value[call.id] ?? ""]);
    if (pane) giveResults(pane, Object.fromEntries(said));
  }
  return html`<div class="tool-results">
    ${answer.toolCalls.map(
      (call) => html`<textarea
        key=${call.id}
        rows="2"
        aria-label=${t("tools.result", { name: call.name })}
        placeholder=${t("tools.result", { name: call.name })}
        value=${results.value[call.id] ?? ""}
        onInput=${(/** @type {any} */ event) => (results.value = { ...results.value, [call.id]: event.target.value })}
      />`,
    )}
    <button type="button" class="primary" onClick=${send}>${t("tools.send")}</button>
  </div>`;
}

/** @param {string} text */
function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text; // still incomplete
  }
}
