// A side column; in a narrow window it covers the page and closes with Escape.
import { html, useEffect, useRef } from "../html.js";
import { Icon } from "../icons.js";
import { t } from "../language.js";

const NARROW = window.matchMedia("(max-width: 1179px)");

/** @param {{side: "start" | "end", label: string, isOpen: any, children?: any}} props */
export function Drawer({ side, label, isOpen, children }) {
  const column = useRef(/** @type {HTMLElement | null} */ (null));
  const opener = useRef(/** @type {Element | null} */ (null));
  useEffect(() => {
    if (isOpen.value && NARROW.matches) {
      opener.current = document.activeElement;
      column.current?.focus();
    }
  }, [isOpen.value]);

  function close() {
    isOpen.value = false;
    if (opener.current instanceof HTMLElement) opener.current.focus();
  }

  if (!isOpen.value) return null;
  return html`<button type="button" class="veil" tabindex="-1" aria-hidden="true" onClick=${close} />
    <aside
      class=${`drawer ${side}`}
      aria-label=${label}
      tabindex="-1"
      ref=${column}
      onKeyDown=${(/** @type {KeyboardEvent} */ event) => event.key === "Escape" && NARROW.matches && close()}
    >
      <div class="drawer-top">
        <h2 class="grow">${label}</h2>
        <button type="button" class="icon" aria-label=${t("drawer.close")} onClick=${close}><${Icon} name="close" /></button>
      </div>
      ${children}
    </aside>`;
}
