// A code block with its language, syntax highlighting, a copy button, and a run button for Python.
import { html, useComputed, useSignal } from "../html.js";
import { Icon } from "../icons.js";
import { t } from "../language.js";
import { Run } from "../runner/run.js";
import { Coloured } from "./coloured.js";
import { CopyButton } from "./copy_button.js";

const PYTHON = ["python", "py", "python3"];

/** @param {{code: string, language: string, canRun: boolean}} props */
export function CodeBlock({ code, language, canRun }) {
  const numRuns = useSignal(0);
  const ran = useSignal("");
  const isRun = useComputed(() => numRuns.value > 0);
  const isPython = canRun && PYTHON.includes(language);

  function run() {
    ran.value = code;
    numRuns.value++;
  }

  return html`<figure class="code-block">
    <figcaption>
      <span class="language grow">${language || t("code.plain")}</span>
      ${isPython &&
      html`<button type="button" class="icon" onClick=${run}><${Icon} name="play" /><span>${t("code.run")}</span></button>`}
      <${CopyButton} text=${code} label=${t("code.copy")} hasWords />
    </figcaption>
    <pre tabindex="0" role="group" aria-label=${t("code.label", { language: language || t("code.plain") })}><${Coloured}
      code=${code}
      language=${language}
    /></pre>
    ${isRun.value && html`<${Run} key=${numRuns.value} code=${ran.value} onClose=${() => (numRuns.value = 0)} />`}
  </figure>`;
}
