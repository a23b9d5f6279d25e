// Every parameter of the request with its meaning. With two panes, one at a time.
import { html, signal } from "../html.js";
import { t } from "../language.js";
import { obstacle } from "./answering.js";
import { letterOf } from "./chat_pane.js";
import { changePane, current } from "./conversations.js";
import { ParameterField } from "./parameter_field.js";
import { GROUPS, parametersOf } from "./parameters.js";

const chosen = signal(0);

export function SettingsPanel() {
  const { mode, panes } = current.value;
  const place = Math.min(chosen.value, panes.length - 1);
  const pane = panes[place];
  if (!pane) return null;
  const stuck = obstacle.value?.paneId === pane.id ? obstacle.value.name : "";
  return html`<div class="settings">
    ${panes.length > 1 &&
    html`<div class="segments" role="group" aria-label=${t("panel.whose")}>
      ${panes.map(
        (other, at) =>
          html`<button key=${other.id} type="button" aria-pressed=${at === place} onClick=${() => (chosen.value = at)}>
            ${t("pane.label", { letter: letterOf(at) })}
          </button>`,
      )}
    </div>`}
    <div class="row">
      <p class="quiet grow">${t("panel.meaning")}</p>
      <button
        type="button"
        disabled=${Object.keys(pane.values).length === 0}
        onClick=${() => changePane(pane.id, (old) => ({ ...old, values: {} }))}
      >
        ${t("panel.reset")}
      </button>
    </div>
    ${GROUPS.map(
      (group) => html`<fieldset key=${group}>
        <legend>${t(`group.${group}`)}</legend>
        ${parametersOf(mode)
          .filter((parameter) => parameter.group === group)
          .map(
            (parameter) =>
              html`<${ParameterField}
                key=${`${pane.id}-${mode}-${parameter.name}`}
                pane=${pane}
                parameter=${parameter}
                isStuck=${stuck === parameter.name}
              />`,
          )}
      </fieldset>`,
    )}
  </div>`;
}
