// The sign-in page, if the server requires a key. The field has no name, so that no form can put it in a URL.
import { html, useId, useSignal } from "./html.js";
import { t } from "./language.js";
import { reason, signIn } from "./session.js";

export function SignIn() {
  const key = useSignal("");
  const isShown = useSignal(false);
  const isBusy = useSignal(false);
  const [field, trouble] = [useId(), useId()];

  /** @param {Event} event */
  async function submit(event) {
    event.preventDefault();
    isBusy.value = true;
    await signIn(key.value);
    isBusy.value = false;
    document.getElementById(field)?.focus();
  }

  return html`<main id="main" class="sign-in">
    <form class="card" onSubmit=${submit}>
      <img class="mark" src="static/mark.svg" alt="" width="56" height="56" />
      <h1>${t("signIn.title")}</h1>
      <p>${t("signIn.how")}</p>
      <label for=${field}>${t("signIn.key")}</label>
      <div class="with-button">
        <input
          id=${field}
          type=${isShown.value ? "text" : "password"}
          autocomplete="off"
          autocapitalize="off"
          spellcheck="false"
          placeholder="sk-myna-…"
          value=${key.value}
          aria-invalid=${reason.value ? "true" : "false"}
          aria-describedby=${trouble}
          onInput=${(/** @type {any} */ event) => (key.value = event.target.value)}
          autofocus
        />
        <button type="button" aria-pressed=${isShown.value} onClick=${() => (isShown.value = !isShown.value)}>
          ${t("signIn.show")}
        </button>
      </div>
      <p id=${trouble} class="trouble" role="alert">${reason.value}</p>
      <button type="submit" class="primary" disabled=${isBusy.value}>${t("signIn.go")}</button>
      <p class="quiet">${t("signIn.where")}</p>
    </form>
  </main>`;
}
