// One parameter: its name, its meaning, a field for its value, and a button to reset it.
import { html, useEffect, useId, useLayoutEffect, useRef, useSignal } from "../html.js";
import { Icon } from "../icons.js";
import { number, t } from "../language.js";
import { changePane } from "./conversations.js";
import { JsonEditor } from "./json_editor.js";
import { usualOf } from "./model_defaults.js";
import { faultOf, wordOf } from "./parameters.js";

/** @typedef {import("./parameters.js").Parameter} Parameter */
/** @typedef {import("./values.js").Pane} Pane */
/** @typedef {{id: string, about: string, value: any, parameter: Parameter, pane: Pane, set: (value: any) => void, isBad: boolean}} FieldProps */

/** @type {Record<Parameter["kind"], (props: FieldProps) => any>} */
const FIELDS = {
  decimal: NumberField,
  integer: NumberField,
  flag: FlagField,
  choice: ChoiceField,
  text: TextField,
  lines: LinesField,
  json: JsonField,
};

/** @param {{pane: Pane, parameter: Parameter, isStuck: boolean}} props */
export function ParameterField({ pane, parameter, isStuck }) {
  const [id, about] = [useId(), useId()];
  const row = useRef(/** @type {HTMLElement | null} */ (null));
  useEffect(() => {
    if (isStuck) row.current?.scrollIntoView({ block: "center" });
  }, [isStuck]);
  const { name, kind } = parameter;
  const value = pane.values[name];
  const isSet = value !== undefined;
  const word = wordOf(parameter);
  const fault = isSet && kind !== "json" ? faultOf(parameter, value) : null;

  /** @param {any} next */
  function set(next) {
    changePane(pane.id, (old) => {
      const { [name]: _, ...others } = old.values;
      return { ...old, values: next === undefined ? others : { ...others, [name]: next } };
    });
  }
  const Field = /** @type {any} */ (FIELDS[kind]);
  return html`<div class=${isSet ? "parameter set" : "parameter"} ref=${row}>
    <div class="parameter-top">
      <label for=${id}>${t(word)}</label>
      <code class="quiet grow">${name}</code>
      ${isSet &&
      html`<button type="button" class="icon small" aria-label=${t("panel.resetOne", { name: t(word) })} title=${t("panel.resetOne", { name: t(word) })} onClick=${() => set(undefined)}>
        <${Icon} name="reset" />
      </button>`}
    </div>
    <${Field} id=${id} about=${about} value=${value} parameter=${parameter} pane=${pane} set=${set} isBad=${fault !== null} />
    ${fault && html`<p class="trouble" role="alert">${t(fault[0], fault[1])}</p>`}
    <p id=${about} class="meaning">${t(`${word}.meaning`)} ${rangeOf(parameter, usualOf(parameter, pane))}</p>
  </div>`;
}

/** @param {Parameter} parameter @param {Parameter["usual"]} usual */
function rangeOf({ min, max, isExtension }, usual) {
  const parts = [];
  if (min !== undefined && max !== undefined) parts.push(t("range.both", { min: number(min), max: number(max) }));
  else if (min !== undefined) parts.push(t("range.least", { min: number(min) }));
  if (typeof usual === "number") parts.push(t("range.usual", { usual: number(usual) }));
  if (isExtension) parts.push(t("range.extension"));
  return parts.join(" ");
}

/** @param {FieldProps} props */
function NumberField({ id, about, value, parameter, pane, set, isBad }) {
  const { kind, min, max, step } = parameter;
  const usual = usualOf(parameter, pane);
  const hasRange = kind === "decimal" && min !== undefined && max !== undefined;
  /** @param {any} event */
  const typed = (event) => set(event.target.value === "" ? undefined : Number(event.target.value));
  return html`<div class="number">
    ${hasRange &&
    html`<input
      type="range"
      min=${min}
      max=${max}
      step=${step}
      value=${value ?? usual}
      aria-label=${t("panel.slide", { name: t(wordOf(parameter)) })}
      onInput=${typed}
    />`}
    <input
      id=${id}
      type="number"
      min=${min}
      max=${max}
      step=${kind === "integer" ? 1 : "any"}
      placeholder=${usual ?? t("panel.unset")}
      value=${value ?? ""}
      aria-describedby=${about}
      aria-invalid=${isBad}
      onInput=${typed}
    />
  </div>`;
}

/** @param {FieldProps} props */
function FlagField({ id, about, value, parameter, set }) {
  return html`<input
    id=${id}
    type="checkbox"
    checked=${value ?? parameter.usual}
    aria-describedby=${about}
    onChange=${(/** @type {any} */ event) => set(event.target.checked)}
  />`;
}

/** @param {FieldProps} props */
function ChoiceField({ id, about, value, parameter, pane, set }) {
  const choices = [...(parameter.choices ?? []), ...(parameter.name === "tool_choice" ? toolNames(pane) : [])];
  const isKnown = value === undefined || choices.includes(value);
  return html`<select
    id=${id}
    value=${value ?? ""}
    aria-describedby=${about}
    onChange=${(/** @type {any} */ event) => set(event.target.value || undefined)}
  >
    <option value="">${t("panel.unset")}</option>
    ${!isKnown && html`<option value=${value}>${value}</option>`}
    ${choices.map((choice) => html`<option key=${choice} value=${choice}>${choice}</option>`)}
  </select>`;
}

/** The names of the functions in the tools editor. @param {Pane} pane @returns {string[]} */
function toolNames(pane) {
  try {
    return JSON.parse(pane.values.tools).map((/** @type {any} */ tool) => String((tool.function ?? tool).name));
  } catch {
    return [];
  }
}

/** @param {FieldProps} props */
function TextField({ id, about, value, set, isBad }) {
  return html`<textarea
    id=${id}
    rows="1"
    value=${value ?? ""}
    placeholder=${t("panel.unset")}
    aria-describedby=${about}
    aria-invalid=${isBad}
    onInput=${(/** @type {any} */ event) => set(event.target.value || undefined)}
  />`;
}

/** One text per line; \n and \t are a line break and a tab. @param {FieldProps} props */
function LinesField({ id, about, value, set, isBad }) {
  const draft = useSignal(shown(value ?? []));
  // Before the next keystroke: later, this would compare the old value with the new draft.
  useLayoutEffect(() => {
    if (read(draft.value).join("\n") !== (value ?? []).join("\n")) draft.value = shown(value ?? []);
  }, [value]);
  /** @param {any} event */
  function typed(event) {
    draft.value = event.target.value;
    const lines = read(draft.value);
    set(lines.length ? lines : undefined);
  }
  return html`<textarea id=${id} rows="2" value=${draft.value} placeholder=${t("panel.lines")} aria-describedby=${about} aria-invalid=${isBad} onInput=${typed} />`;
}

/** @param {string[]} lines */
const shown = (lines) => lines.map((line) => line.replaceAll("\\", "\\\\").replaceAll("\n", "\\n").replaceAll("\t", "\\t")).join("\n");

/** @param {string} text @returns {string[]} */
const read = (text) =>
  text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => line.replace(/\\([nt\\])/g, (_, sign) => (sign === "n" ? "\n" : sign === "t" ? "\t" : "\\")));

/** @param {FieldProps} props */
function JsonField({ id, about, value, parameter, set }) {
  return html`<${JsonEditor} id=${id} about=${about} name=${parameter.check ?? parameter.name} text=${value ?? ""} set=${set} />`;
}
