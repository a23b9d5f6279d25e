// The conversations stored in the browser: open, rename and delete them.
import { html, useEffect, useRef, useSignal } from "../html.js";
import { Icon } from "../icons.js";
import { moment, t } from "../language.js";
import { begin, current, list, open, remove, rename } from "./conversations.js";
import { titleOf } from "./values.js";

/** @typedef {import("./values.js").Conversation} Conversation */

export function ConversationList() {
  return html`<button type="button" class="new" onClick=${() => begin(current.value.mode)}>
      <${Icon} name="plus" /><span>${t("list.new")}</span>
    </button>
    <ul class="conversations">
      ${list.value.map((conversation) => html`<${Item} key=${conversation.id} conversation=${conversation} />`)}
    </ul>`;
}

/** @param {{conversation: Conversation}} props */
function Item({ conversation }) {
  const isNaming = useSignal(false);
  const title = titleOf(conversation) || t("list.untitled");
  const isOpen = conversation.id === current.value.id;
  if (isNaming.value) return html`<li><${NameField} conversation=${conversation} onEnd=${() => (isNaming.value = false)} /></li>`;
  return html`<li class=${isOpen ? "open" : ""}>
    <button
      type="button"
      class="conversation"
      aria-current=${isOpen ? "true" : undefined}
      title=${moment(conversation.updated)}
      onClick=${() => open(conversation.id)}
    >
      ${title}
    </button>
    <button type="button" class="icon" aria-label=${t("list.rename", { title })} onClick=${() => (isNaming.value = true)}>
      <${Icon} name="edit" />
    </button>
    <button type="button" class="icon" aria-label=${t("list.delete", { title })} onClick=${() => remove(conversation)}>
      <${Icon} name="trash" />
    </button>
  </li>`;
}

/** @param {{conversation: Conversation, onEnd: () => void}} props */
function NameField({ conversation, onEnd }) {
  const field = useRef(/** @type {HTMLInputElement | null} */ (null));
  const isOver = useRef(false);
  useEffect(() => field.current?.select(), []);
  /** @param {boolean} isKept */
  function end(isKept) {
    if (isOver.current) return;
    isOver.current = true;
    if (isKept && field.current) rename(conversation.id, field.current.value);
    onEnd();
  }
  return html`<input
    ref=${field}
    aria-label=${t("list.name")}
    maxlength="200"
    value=${titleOf(conversation)}
    onBlur=${() => end(true)}
    onKeyDown=${(/** @type {KeyboardEvent} */ event) => {
      if (event.key === "Enter") end(true);
      if (event.key === "Escape") end(false);
    }}
  />`;
}
