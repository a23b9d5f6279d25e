// Controls for the whole conversation: its mode, one or two columns, probabilities, code, files. If the window is
// narrow, all except the mode and the drawers are in a menu, with text labels.
import { html, signal, useEffect, useRef, useSignal } from "../html.js";
import { Icon } from "../icons.js";
import { t } from "../language.js";
import { say } from "../notices.js";
import { isAnyRunning, stop } from "./answering.js";
import { CodeDialog } from "./code_dialog.js";
import { begin, change, current, isEmptyNow, restore } from "./conversations.js";
import { areShown, showProbabilities } from "./probabilities.js";
import { BadFile, exportFile, importFile } from "./transfer.js";
import { MODES, newId } from "./values.js";

const isCodeOpen = signal(false);

/** @param {{isListOpen: any, isPanelOpen: any}} props */
export function Toolbar({ isListOpen, isPanelOpen }) {
  const isSplit = current.value.panes.length > 1;
  return html`<div class="toolbar" role="toolbar" aria-label=${t("tool.label")}>
    <${Tool} icon="list" label=${t("list.title")} isOn=${isListOpen.value} run=${() => (isListOpen.value = !isListOpen.value)} />
    <${ModeChoice} />
    <span class="grow" />
    <${More}>
      <${Tool} icon="palette" label=${t("tool.probabilities")} isOn=${areShown.value} run=${showProbabilities} />
      <${Tool} icon="columns" label=${t("tool.split")} isOn=${isSplit} run=${split} />
      <${Tool} icon="code" label=${t("tool.code")} run=${() => (isCodeOpen.value = true)} />
      <${Tool} icon="download" label=${t("tool.export")} isOff=${isEmptyNow()} run=${() => exportFile(current.value)} />
      <${Import} />
    <//>
    <${Tool} icon="sliders" label=${t("panel.title")} isOn=${isPanelOpen.value} run=${() => (isPanelOpen.value = !isPanelOpen.value)} />
    ${isCodeOpen.value && html`<${CodeDialog} onClose=${() => (isCodeOpen.value = false)} />`}
  </div>`;
}

/** Tools in a row, or in a menu if there is no room. @param {{children?: any}} props */
function More({ children }) {
  const isOpen = useSignal(false);
  const box = useRef(/** @type {HTMLElement | null} */ (null));
  useEffect(() => {
    if (!isOpen.value) return undefined;
    const leaving = new AbortController();
    const close = (/** @type {Event} */ event) => {
      if (!(event.target instanceof Node) || !box.current?.contains(event.target)) isOpen.value = false;
    };
    document.addEventListener("pointerdown", close, { signal: leaving.signal });
    return () => leaving.abort();
  }, [isOpen.value]);
  return html`<div class="more-tools" ref=${box} onKeyDown=${(/** @type {KeyboardEvent} */ event) => event.key === "Escape" && (isOpen.value = false)}>
    <button type="button" class="icon more" aria-label=${t("tool.more")} title=${t("tool.more")} aria-expanded=${isOpen.value} onClick=${() => (isOpen.value = !isOpen.value)}>
      <${Icon} name="more" />
    </button>
    <div class=${isOpen.value ? "tools open" : "tools"} onClick=${() => (isOpen.value = false)}>${children}</div>
  </div>`;
}

/** @param {{icon: string, label: string, isOn?: boolean, isOff?: boolean, run: () => void}} props */
function Tool({ icon, label, isOn, isOff = false, run }) {
  return html`<button type="button" class="icon" aria-label=${label} title=${label} aria-pressed=${isOn} disabled=${isOff} onClick=${run}>
    <${Icon} name=${icon} /><span class="word" aria-hidden="true">${label}</span>
  </button>`;
}

function ModeChoice() {
  const { mode } = current.value;
  /** @param {import("./values.js").Mode} wanted */
  const choice = (wanted) => html`<button
    key=${wanted}
    type="button"
    aria-pressed=${mode === wanted}
    onClick=${() => mode !== wanted && begin(wanted)}
  >
    ${t(`mode.${wanted}`)}
  </button>`;
  return html`<div class="segments" role="group" aria-label=${t("mode.label")}>${MODES.map(choice)}</div>`;
}

/** Add a second column with the same settings and messages, or remove it. */
function split() {
  const before = current.value;
  if (isAnyRunning()) stop(before.panes);
  const [first, second] = before.panes;
  if (!first) return;
  change((old) => ({ ...old, panes: second ? [first] : [first, { ...first, id: newId() }] }));
  if (second?.turns.length) {
    say(t("split.closed"), { action: { label: t("store.undo"), run: () => restore(before) } });
  }
}

function Import() {
  const picker = useRef(/** @type {HTMLInputElement | null} */ (null));
  /** @param {any} event */
  async function take(event) {
    const [file] = event.target.files;
    event.target.value = "";
    if (!file) return;
    try {
      restore(await importFile(file));
    } catch (error) {
      say(error instanceof BadFile ? error.message : t("import.unreadable"), { kind: "bad" });
    }
  }
  return html`<${Tool} icon="upload" label=${t("tool.import")} run=${() => picker.current?.click()} />
    <input ref=${picker} type="file" accept=".json,application/json" hidden aria-label=${t("import.file")} onChange=${take} />`;
}
