// The items of a response, one below the other, each with its type.
import { html } from "../html.js";
import { t } from "../language.js";
import { Markdown } from "../text/markdown.js";
import { Words } from "./answer_view.js";
import { CallArguments, ToolResults } from "./tool_calls.js";
import { isCall } from "./items.js";

/** @typedef {import("./values.js").Answer} Answer */
/** @typedef {import("./values.js").Item} Item */

/** @param {{paneId: string, answer: Answer, isOpen: boolean}} props */
export function ItemsView({ paneId, answer, isOpen }) {
  const items = answer.items ?? [];
  return html`${items.map(
      (item, place) => html`<section class="item" key=${item.id || place} aria-label=${item.type}>
        <${ItemType} type=${item.type} name=${item.name} status=${item.status} />
        <${Content} item=${item} state=${answer.state} />
      </section>`,
    )}
    ${isOpen && items.some(isCall) && html`<${ToolResults} paneId=${paneId} answer=${answer} />`}`;
}

/** @param {{type: string, name?: string, status?: string}} props */
export function ItemType({ type, name = "", status = "" }) {
  return html`<p class="item-type quiet"><code>${type}</code>${name && html` <strong>${name}</strong>`}${status === "incomplete" && html` <span>${t("item.incomplete")}</span>`}</p>`;
}

/** @param {{item: Item, state: Answer["state"]}} props */
function Content({ item, state }) {
  if (item.type === "message") return html`<${Words} answer=${{ ...item, state }} />`;
  if (item.type === "reasoning") {
    return html`<details class="thought">
      <summary>${t("answer.thought")}</summary>
      <${Markdown} text=${item.text} />
    </details>`;
  }
  return isCall(item) ? html`<${CallArguments} name=${item.name} text=${item.text} />` : null;
}
