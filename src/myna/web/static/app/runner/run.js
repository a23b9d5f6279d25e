// One run of a block of Python: its output, its value, and how it ended.
import { html, useEffect, useSignal } from "../html.js";
import { Icon } from "../icons.js";
import { t } from "../language.js";
import { LIMIT_S, NotInstalled, runPython, stopPython } from "./sandbox.js";

/** @typedef {import("./sandbox.js").Piece} Piece */

/** @param {{code: string, onClose: () => void}} props */
export function Run({ code, onClose }) {
  const pieces = useSignal(/** @type {Piece[]} */ ([]));
  const state = useSignal("starting");
  useEffect(() => {
    let isHere = true;
    /** @param {Piece} piece */
    function show(piece) {
      if (!isHere) return;
      const last = pieces.value.at(-1);
      if (piece.kind === "state") state.value = piece.text;
      else if (last?.kind !== piece.kind) pieces.value = [...pieces.value, piece];
      else pieces.value = [...pieces.value.slice(0, -1), { ...last, text: last.text + piece.text }];
    }
    runPython(code, show)
      .then((ending) => ending)
      .catch((error) => {
        show({ kind: "trouble", text: error instanceof NotInstalled ? t("run.missing") : t("run.failed", { why: String(error.message) }) });
        return "done";
      })
      .then((ending) => isHere && (state.value = ending));
    return () => {
      isHere = false;
      if (state.value === "starting" || state.value === "running") stopPython();
    };
  }, []);
  const isGoing = state.value === "starting" || state.value === "running";
  return html`<div class="run" aria-busy=${isGoing}>
    <div class="run-top">
      <span class="quiet grow" role="status">${t(`run.${state.value}`, { limit: LIMIT_S })}</span>
      ${isGoing
        ? html`<button type="button" onClick=${() => stopPython()}><${Icon} name="stop" />${t("run.stop")}</button>`
        : html`<button type="button" class="icon" aria-label=${t("run.close")} onClick=${onClose}><${Icon} name="close" /></button>`}
    </div>
    ${pieces.value.length > 0 &&
    html`<pre tabindex="0" role="group" aria-label=${t("run.output")}>
${pieces.value.map((piece) => html`<span class=${piece.kind}>${piece.text}</span>`)}</pre
    >`}
    ${!isGoing && pieces.value.length === 0 && state.value === "done" && html`<p class="quiet">${t("run.silent")}</p>`}
  </div>`;
}
