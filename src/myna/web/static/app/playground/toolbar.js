// What acts on the whole conversation: its mode, one or two columns, probabilities, code, files.
import { html, signal, useRef } from "../html.js";
import { Icon } from "../icons.js";
import { t } from "../language.js";
import { say } from "../notices.js";
import { isAnyRunning, stop } from "./answering.js";
import { CodeDialog } from "./code_dialog.js";
import { begin, change, current, isEmptyNow, restore } from "./conversations.js";
import { areShown, showProbabilities } from "./probabilities.js";
import { BadFile, exportFile, importFile } from "./transfer.js";
import { newId } from "./values.js";

const isCodeOpen = signal(false);

/** @param {{isListOpen: any, isPanelOpen: any}} props */
export function Toolbar({ isListOpen, isPanelOpen }) {
  const isSplit = current.value.panes.length > 1;
  return html`<div class="toolbar" role="toolbar" aria-label=${t("tool.label")}>
    <${Tool} icon="list" label=${t("list.title")} isOn=${isListOpen.value} run=${() => (isListOpen.value = !isListOpen.value)} />
    <${ModeChoice} />
    <span class="grow" />
    <${Tool} icon="palette" label=${t("tool.probabilities")} isOn=${areShown.value} run=${showProbabilities} />
    <${Tool} icon="columns" label=${t("tool.split")} isOn=${isSplit} run=${split} />
    <${Tool} icon="code" label=${t("tool.code")} run=${() => (isCodeOpen.value = true)} />
    <${Tool} icon="download" label=${t("tool.export")} isOff=${isEmptyNow()} run=${() => exportFile(current.value)} />
    <${Import} />
    <${Tool} icon="sliders" label=${t("panel.title")} isOn=${isPanelOpen.value} run=${() => (isPanelOpen.value = !isPanelOpen.value)} />
    ${isCodeOpen.value && html`<${CodeDialog} onClose=${() => (isCodeOpen.value = false)} />`}
  </div>`;
}

/** @param {{icon: string, label: string, isOn?: boolean, isOff?: boolean, run: () => void}} props */
function Tool({ icon, label, isOn, isOff = false, run }) {
  return html`<button type="button" class="icon" aria-label=${label} title=${label} aria-pressed=${isOn} disabled=${isOff} onClick=${run}>
    <${Icon} name=${icon} />
  </button>`;
}

function ModeChoice() {
  const { mode } = current.value;
  /** @param {import("./values.js").Mode} wanted */
  const choice = (wanted) => html`<button
    type="button"
    aria-pressed=${mode === wanted}
    onClick=${() => mode !== wanted && begin(wanted)}
  >
    ${t(`mode.${wanted}`)}
  </button>`;
  return html`<div class="segments" role="group" aria-label=${t("mode.label")}>${choice("chat")}${choice("completion")}</div>`;
}

/** A second column with the same settings and words; or only the first again. */
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
