// The playground: conversations on the left, the messages in the middle, the settings on the right.
import { html, signal, useEffect, useSignal } from "../html.js";
import { t } from "../language.js";
import { isAnyRunning } from "./answering.js";
import { ChatPane } from "./chat_pane.js";
import { CompletionPane } from "./completion_pane.js";
import { Composer } from "./composer.js";
import { ConversationList } from "./conversation_list.js";
import { current, load } from "./conversations.js";
import { Drawer } from "./drawer.js";
import { SettingsPanel } from "./settings_panel.js";
import { Toolbar } from "./toolbar.js";

const WIDE = "(min-width: 1180px)";

const isListOpen = signal(window.matchMedia(WIDE).matches);
const isPanelOpen = signal(window.matchMedia(WIDE).matches);

export function Page() {
  const isLoaded = useSignal(false);
  useEffect(() => {
    load().then(() => (isLoaded.value = true));
  }, []);
  if (!isLoaded.value) return html`<main id="main" aria-busy="true" />`;
  const { mode, panes } = current.value;
  const isSplit = panes.length > 1;
  return html`<div class="playground">
    <${Drawer} side="start" label=${t("list.title")} isOpen=${isListOpen}><${ConversationList} /></${Drawer}>
    <main id="main" aria-label=${t("page.playground")}>
      <h1 class="unseen">${t("page.playground")}</h1>
      <${Toolbar} isListOpen=${isListOpen} isPanelOpen=${isPanelOpen} />
      <div class=${isSplit ? "panes split" : "panes"} aria-busy=${isAnyRunning()}>
        ${panes.map((pane, place) =>
          mode !== "completion"
            ? html`<${ChatPane} key=${pane.id} pane=${pane} place=${place} isSplit=${isSplit} />`
            : html`<${CompletionPane} key=${pane.id} pane=${pane} place=${place} isSplit=${isSplit} />`,
        )}
      </div>
      ${mode !== "completion" && html`<${Composer} key=${current.value.id} />`}
    </main>
    <${Drawer} side="end" label=${t("panel.title")} isOpen=${isPanelOpen}><${SettingsPanel} /></${Drawer}>
  </div>`;
}
