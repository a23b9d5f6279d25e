// Who is signed in: whether the server takes the key, and the models that it may use.
import { ApiError, ask, hasKey, setKey, whenRefused } from "./api.js";
import { signal } from "./html.js";
import { t } from "./language.js";

/** @typedef {{id: string, owned_by: string, created: number}} Model */

/** `starting` until the server has said whether it wants a key; `away` when it doesn't answer. */
export const state = signal(/** @type {"starting" | "out" | "in" | "away"} */ ("starting"));
export const reason = signal("");
export const models = signal(/** @type {Model[]} */ ([]));

whenRefused((error) => {
  if (state.value === "in") leave(t("signIn.refused", { message: error.message }));
});

const asksForKey = document.documentElement.dataset.asksForKey === "true";

/**
 * Ask the server whether it lets us in as we are: with the tab's key, with a sign-in link's code, or with none
 * where it asks for none.
 */
export async function start() {
  const code = takeCode();
  if (code && !hasKey()) {
    await signInByLink(code);
    return;
  }
  if (asksForKey && !hasKey()) {
    state.value = "out";
    return;
  }
  state.value = "starting";
  try {
    await enter();
  } catch (error) {
    if (error instanceof ApiError && error.isWrongKey) {
      leave(t("signIn.refused", { message: error.message }));
    } else {
      reason.value = String(error instanceof Error ? error.message : error);
      state.value = "away";
    }
  }
}

/** The code of a sign-in link, which doesn't stay in the address or the history. @returns {string} */
function takeCode() {
  const code = /^#code=([\w-]+)$/.exec(window.location.hash)?.[1] ?? "";
  if (code) window.history.replaceState(null, "", window.location.pathname + window.location.search);
  return code;
}

/** @param {string} code */
async function signInByLink(code) {
  try {
    const { key } = await ask("POST", "sign-in", { code });
    await signIn(key);
  } catch (error) {
    const isUsed = error instanceof ApiError && error.code === "invalid_sign_in_code";
    leave(isUsed ? t("signIn.usedLink") : String(error instanceof Error ? error.message : error));
  }
}

/** Try a key; stays signed out, with the reason, if the server doesn't take it. @param {string} key */
export async function signIn(key) {
  reason.value = "";
  const shown = key.trim();
  if (!/^[\x21-\x7e]+$/.test(shown)) {
    reason.value = t(shown ? "signIn.strange" : "signIn.empty");
    return;
  }
  setKey(shown);
  try {
    await enter();
  } catch (error) {
    const isWrong = error instanceof ApiError && error.isWrongKey;
    leave(isWrong ? t("signIn.wrong") : String(error instanceof Error ? error.message : error));
  }
}

/** Forget the key. @param {string} [why] */
export function leave(why = "") {
  setKey("");
  models.value = [];
  reason.value = why;
  state.value = "out";
}

/** The list of models anew; a key that may not list them may still use them by name. */
export async function enter() {
  try {
    const listed = await ask("GET", "v1/models");
    models.value = listed.data;
  } catch (error) {
    if (!(error instanceof ApiError) || error.isWrongKey || ![401, 403].includes(error.status)) throw error;
    models.value = [];
  }
  state.value = "in";
}
