// A modal dialog with one form. Escape and a button close it; screen readers announce its errors.
import { html, useEffect, useId, useRef, useSignal } from "../html.js";
import { Icon } from "../icons.js";
import { t } from "../language.js";

/**
 * @param {{title: string, action: string, kind?: string, isReady?: boolean, onSubmit: () => Promise<void>, onClose: () => void,
 *   children: any}} props
 * The form can be submitted only if `isReady`. Errors thrown by `onSubmit` are shown; when it returns, the dialog
 * closes unless `onClose` has removed it.
 */
export function FormDialog({ title, action, kind = "primary", isReady = true, onSubmit, onClose, children }) {
  const dialog = useRef(/** @type {HTMLDialogElement | null} */ (null));
  const [isBusy, trouble, name] = [useSignal(false), useSignal(""), useId()];
  useEffect(() => dialog.current?.showModal(), []);

  /** @param {Event} event */
  async function submit(event) {
    event.preventDefault();
    if (!isReady || isBusy.value) return;
    isBusy.value = true;
    trouble.value = "";
    try {
      await onSubmit();
      dialog.current?.close();
    } catch (error) {
      trouble.value = error instanceof Error ? error.message : String(error);
    }
    isBusy.value = false;
  }

  return html`<dialog ref=${dialog} class="form-dialog" aria-labelledby=${name} onClose=${onClose}>
    <form onSubmit=${submit}>
      <div class="bar">
        <h2 id=${name} class="grow">${title}</h2>
        <button type="button" class="icon" aria-label=${t("dashboard.close")} onClick=${() => dialog.current?.close()}>
          <${Icon} name="close" />
        </button>
      </div>
      ${children}
      <p class="trouble" role="alert">${trouble.value}</p>
      <div class="bar">
        <span class="grow" />
        <button type="button" onClick=${() => dialog.current?.close()}>${t("dashboard.cancel")}</button>
        <button type="submit" class=${kind} disabled=${isBusy.value || !isReady}>${action}</button>
      </div>
    </form>
  </dialog>`;
}

/**
 * A label, its field, and a hint.
 * @param {{label: string, hint?: string, value: {value: string}, type?: string, placeholder?: string, min?: string, step?: string, isRequired?: boolean}} props
 */
export function Field({ label, hint = "", value, type = "text", placeholder = "", min, step, isRequired = false }) {
  const id = useId();
  return html`<div class="field">
    <label for=${id}>${label}</label>
    <input
      id=${id}
      type=${type}
      value=${value.value}
      placeholder=${placeholder}
      min=${min}
      step=${step}
      required=${isRequired}
      autocomplete="off"
      aria-describedby=${hint ? `${id}-hint` : undefined}
      onInput=${(/** @type {any} */ event) => (value.value = event.target.value)}
    />
    ${hint && html`<p id=${`${id}-hint`} class="quiet">${hint}</p>`}
  </div>`;
}
