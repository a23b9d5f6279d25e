// A table that becomes cards in a narrow window. The roles keep it a table for screen readers even then.
import { html } from "../html.js";
import { t } from "../language.js";

/** A column: the key of its heading, and whether its cells are figures, row names or buttons.
 * @typedef {{word: string, kind?: "figure" | "name" | "actions"}} Column */
/** `more` is shown below the row. @typedef {{key: string, cells: any[], more?: any}} Row */

/** @param {{label: string, columns: Column[], rows: Row[]}} props */
export function Table({ label, columns, rows }) {
  return html`<div class="scrolls cards" tabindex="0" role="group" aria-label=${label}>
    <table role="table" aria-label=${label}>
      <thead role="rowgroup">
        <tr role="row">
          ${columns.map(
            ({ word, kind = "" }) =>
              html`<th key=${word} role="columnheader" scope="col" class=${kind}>${kind === "actions" ? html`<span class="unseen">${t(word)}</span>` : t(word)}</th>`,
          )}
        </tr>
      </thead>
      <tbody role="rowgroup">
        ${rows.map((row) => html`<${Cells} key=${row.key} columns=${columns} row=${row} />`)}
      </tbody>
    </table>
  </div>`;
}

/** @param {{columns: Column[], row: Row}} props */
function Cells({ columns, row: { cells, more } }) {
  return html`<tr role="row" class=${more ? "opened" : ""}>
      ${columns.map(({ word, kind = "" }, at) =>
        kind === "name"
          ? html`<th key=${word} role="rowheader" scope="row">${cells[at]}</th>`
          : html`<td key=${word} role="cell" class=${kind} data-label=${kind === "actions" ? "" : t(word)}><div>${cells[at]}</div></td>`,
      )}
    </tr>
    ${more && html`<tr role="row" class="more-of-row"><td role="cell" colspan=${columns.length}>${more}</td></tr>`}`;
}
