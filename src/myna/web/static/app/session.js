// The session: whether the server accepts the key, and the models that the key may use.
import { ApiError, ask, hasKey, setKey, whenRefused } from "./api.js";
import { signal } from "./html.js";
import { t } from "./language.js";

/**
 * A model or an alias of one; the optional fields are set if known.
 * @typedef {{id: string, owned_by: string, created: number, is_loaded?: boolean, alias_of?: string, capabilities?: string[], problem?: string,
 *   size_bytes?: number, context_tokens?: number, sampling_defaults?: Record<string, number>}} Model
 */

/** `starting` until it is known whether the server requires a key; `away` if it doesn't respond. */
export const state = signal(/** @type {"starting" | "out" | "in" | "away"} */ ("starting"));
export const reason = signal("");
export const models = signal(/** @type {Model[]} */ ([]));
/** The public id of the signed-in key; empty if the server doesn't require one. */
export const keyId = signal("");
/** Whether the server rejected the key during the session, and the user hasn't signed out since. */
export const wasInterrupted = signal(false);

whenRefused((error) => {
  if (state.value !== "in") return;
  wasInterrupted.value = true;
  endSession(t("signIn.refused", { message: error.message }));
});

const asksForKey = document.documentElement.dataset.asksForKey === "true";

/**
 * Try to sign in without asking the user: with the tab's key, with the code of a sign-in link, or without a key
 * if the server doesn't require one.
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
      endSession(t("signIn.refused", { message: error.message }));
    } else {
      reason.value = String(error instanceof Error ? error.message : error);
      state.value = "away";
    }
  }
}

/** The code of a sign-in link, removed from the URL and the history. @returns {string} */
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
    endSession(isUsed ? t("signIn.usedLink") : String(error instanceof Error ? error.message : error));
  }
}

/** Try a key. If the server rejects it, stay signed out and set `reason`. @param {string} key */
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
    endSession(isWrong ? t("signIn.wrong") : String(error instanceof Error ? error.message : error));
  }
}

/** Sign out: the next sign-in counts as a different user. */
export function leave() {
  wasInterrupted.value = false;
  endSession();
}

/** Remove the key. @param {string} [why] */
function endSession(why = "") {
  setKey("");
  models.value = [];
  reason.value = why;
  state.value = "out";
}

/** Load the key's id and the list of models; a key that may not list them can still use them by name. */
export async function enter() {
  const [own, listed] = await Promise.all([ask("GET", "v1/organization/own_key"), listModels()]);
  keyId.value = hasKey() ? own.id : "";
  models.value = listed;
  state.value = "in";
}

/** @returns {Promise<Model[]>} */
async function listModels() {
  try {
    return (await ask("GET", "v1/models?details=true")).data;
  } catch (error) {
    if (!(error instanceof ApiError) || error.isWrongKey || ![401, 403].includes(error.status)) throw error;
    return [];
  }
}

/** Reload the list of models if signed in: a model may have been loaded or added since. */
export async function refreshModels() {
  try {
    const listed = await listModels();
    if (state.value === "in") models.value = listed;
  } catch {
    // Keep the old list.
  }
}

/** @param {string} id @returns {Model | undefined} */
export const findModel = (id) => models.value.find((model) => model.id === id);

/** The models that answer: those that turn texts into vectors don't. */
export const answeringModels = () => models.value.filter(({ capabilities }) => !capabilities?.includes("embeddings"));
