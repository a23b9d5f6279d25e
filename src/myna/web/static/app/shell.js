// The frame around every page: its name, navigation, language, theme, signing out.
import { hasKey } from "./api.js";
import { html, useEffect, useSignal } from "./html.js";
import { Icon } from "./icons.js";
import { language, setLanguage, t } from "./language.js";
import { Notices } from "./notices.js";
import { page, PAGES } from "./pages.js";
import { leave, reason, start, state } from "./session.js";
import { SignIn } from "./sign_in.js";
import { switchTheme, theme } from "./theme.js";

export function Shell() {
  const isIn = state.value === "in";
  useEffect(() => {
    document.title = `${isIn ? t(`page.${page.value}`) : t("signIn.title")} · Myna`;
  }, [isIn, page.value, language.value]);
  return html`
    <header class="top">
      <a class="skip" href="#main" onClick=${skip}>${t("shell.skip")}</a>
      <span class="brand"><img src="static/mark.svg" alt="" width="28" height="28" />Myna</span>
      ${isIn ? html`<${Pages} />` : html`<span class="grow" />`}
      <${Preferences} isIn=${isIn} />
    </header>
    ${isIn && html`<${CurrentPage} key=${page.value} name=${page.value} />`}
    ${state.value === "out" && html`<${SignIn} />`}
    ${state.value === "away" && html`<${Away} why=${reason.value} onRetry=${start} />`}
    ${state.value === "starting" && html`<main id="main" class="sign-in" aria-busy="true" />`}
    <${Notices} />
  `;
}

/** Go to the main part without changing the URL, which names the page. @param {Event} event */
function skip(event) {
  event.preventDefault();
  const main = document.querySelector("main");
  main?.setAttribute("tabindex", "-1");
  main?.focus();
}

function Pages() {
  return html`<nav class="pages grow" aria-label=${t("shell.pages")}>
    ${Object.keys(PAGES).map(
      (name) =>
        html`<a key=${name} href=${`#/${name}`} aria-current=${page.value === name ? "page" : undefined}
          >${t(`page.${name}`)}</a
        >`,
    )}
  </nav>`;
}

/** @param {{isIn: boolean}} props */
function Preferences({ isIn }) {
  const other = language.value === "zh" ? "en" : "zh";
  const toTheme = t(theme.value === "dark" ? "shell.light" : "shell.dark");
  return html`<div class="preferences">
    <button type="button" class="icon" lang=${other} onClick=${() => setLanguage(other)}>
      ${other === "zh" ? "中文" : "English"}
    </button>
    <button type="button" class="icon" aria-label=${toTheme} title=${toTheme} onClick=${switchTheme}>
      <${Icon} name=${theme.value === "dark" ? "sun" : "moon"} />
    </button>
    ${isIn &&
    hasKey() &&
    html`<button
      type="button"
      class="icon"
      aria-label=${t("shell.leave")}
      title=${t("shell.leave")}
      onClick=${() => leave()}
    >
      <${Icon} name="leave" />
    </button>`}
  </div>`;
}

/** The server doesn't respond. @param {{why: string, onRetry: () => void}} props */
function Away({ why, onRetry }) {
  return html`<main id="main" class="sign-in">
    <div class="card" role="alert">
      <h1>${t("away.title")}</h1>
      <p>${why}</p>
      <button type="button" class="primary" onClick=${onRetry}>${t("away.again")}</button>
    </div>
  </main>`;
}

/** @param {{name: string}} props */
function CurrentPage({ name }) {
  const loaded = useSignal(/** @type {any} */ (null));
  const hasFailed = useSignal(false);
  useEffect(() => {
    PAGES[name]?.().then(
      (module) => (loaded.value = module.Page),
      () => (hasFailed.value = true),
    );
  }, [name]);
  if (hasFailed.value) return html`<${Away} why=${t("error.unreachable")} onRetry=${() => window.location.reload()} />`;
  if (!loaded.value) return html`<main id="main" aria-busy="true" />`;
  return html`<${loaded.value} />`;
}
