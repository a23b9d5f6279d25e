// The conversations and which one is open. The URL contains its id, so that the page can be reloaded.
import { computed } from "../html.js";
import { t } from "../language.js";
import { say } from "../notices.js";
import { page } from "../pages.js";
import { answeringModels, keyId, wasInterrupted } from "../session.js";
import { preferences } from "../storage.js";
import { forget, list, openId, readKept, replace, saveSoon } from "./keeping.js";
import { isEmpty, MODES, newConversation, newPane, titleOf, withPane, withTurn } from "./values.js";

export { list } from "./keeping.js";

/** @typedef {import("./values.js").Conversation} Conversation */
/** @typedef {import("./values.js").Mode} Mode */
/** @typedef {import("./values.js").Pane} Pane */
/** @typedef {import("./values.js").Turn} Turn */

/** A placeholder until `load` has opened one; it stays empty. */
const nobody = newConversation("chat", "");

export const current = computed(
  () => list.value.find((conversation) => conversation.id === openId.value) ?? nobody,
);

/** The key whose conversations are loaded. @type {string | null} */
let loadedFor = null;

/** The initial model: the last one chosen, if it still exists. */
function firstModel() {
  const last = preferences.get("model");
  const known = answeringModels().map((model) => model.id);
  return last && known.includes(last) ? last : (known[0] ?? "");
}

/**
 * Load this key's conversations, and open the one in the URL, or a new one. After the server has revoked a
 * key, the open conversation continues with the key that signs in next in this tab.
 */
export async function load() {
  const key = keyId.value;
  const isInterrupted = wasInterrupted.value;
  wasInterrupted.value = false;
  if (loadedFor === key) {
    if (!openNamed()) show(openId.value);
    if (isEmpty(current.value)) fillModels();
    return;
  }
  const carried = loadedFor !== null && isInterrupted && !isEmpty(current.value) ? current.value : null;
  loadedFor = key;
  openId.value = "";
  await readKept(key);
  if (carried) restore(carried);
  else if (!openNamed()) begin(MODES.find((mode) => mode === preferences.get("mode")) ?? "chat");
}

/** @returns {boolean} Whether the URL names a loaded conversation. */
function openNamed() {
  const id = /^#\/playground\/(\w+)$/.exec(window.location.hash)?.[1] ?? "";
  if (!list.value.some((conversation) => conversation.id === id)) return false;
  open(id);
  return true;
}

window.addEventListener("hashchange", () => {
  if (page.value === "playground" && openId.value && !openNamed()) show(openId.value);
});

/** Open it and put it in the URL. @param {string} id @param {boolean} [isNewEntry] whether Back returns to the previous one */
function show(id, isNewEntry = false) {
  openId.value = id;
  const address = `#/playground/${id}`;
  if (page.value !== "playground" || window.location.hash === address) return;
  if (isNewEntry) window.location.hash = address;
  else window.history.replaceState(null, "", address);
}

function fillModels() {
  const known = new Set(answeringModels().map((model) => model.id));
  for (const pane of current.value.panes) {
    if (!known.has(pane.model) && firstModel()) changePane(pane.id, (old) => ({ ...old, model: firstModel() }));
  }
}

/** Start a conversation; if the open one is empty, it is used. @param {Mode} mode @param {Partial<Pane>} [given] */
export function begin(mode, given) {
  preferences.set("mode", mode);
  const before = list.value.find((conversation) => conversation.id === openId.value);
  const model = before?.panes[0]?.model || firstModel();
  const fresh = newConversation(mode, model);
  if (given) fresh.panes = [{ ...newPane(model), ...given }];
  const others = list.value.filter((other) => other !== before || !isEmpty(other));
  if (before && isEmpty(before)) forget(before.id).catch(() => {});
  list.value = [fresh, ...others];
  show(fresh.id, before && !isEmpty(before));
  if (given) saveSoon(fresh.id);
}

/** @param {string} id */
export function open(id) {
  const before = current.value;
  show(id, before !== nobody && !isEmpty(before));
  if (before.id !== id && isEmpty(before)) list.value = list.value.filter((other) => other.id !== before.id);
}

/** @param {(conversation: Conversation) => Conversation} change @param {string} [id] */
export function change(change, id = openId.value) {
  replace(id, change);
  saveSoon(id);
}

/** @param {string} paneId @param {(pane: Pane) => Pane} changed @param {string} [id] */
export const changePane = (paneId, changed, id) => change((old) => withPane(old, paneId, changed), id);

/** @param {string} paneId @param {string} turnId @param {(turn: Turn) => Turn} changed @param {string} [id] */
export const changeTurn = (paneId, turnId, changed, id) =>
  changePane(paneId, (pane) => withTurn(pane, turnId, changed), id);

/** Restore an earlier state of a conversation. @param {Conversation} conversation */
export function restore(conversation) {
  const isThere = list.value.some((other) => other.id === conversation.id);
  if (isThere) replace(conversation.id, () => conversation);
  else list.value = [conversation, ...list.value];
  show(conversation.id, true);
  saveSoon(conversation.id);
}

/** @param {string} id @param {string} title */
export const rename = (id, title) => change((old) => ({ ...old, title: title.trim() }), id);

/** @param {Conversation} conversation */
export async function remove(conversation) {
  const wasOpen = conversation.id === openId.value;
  list.value = list.value.filter((other) => other.id !== conversation.id);
  if (wasOpen) begin(conversation.mode);
  say(t("store.deleted", { title: titleOf(conversation) }), {
    action: { label: t("store.undo"), run: () => restore(conversation) },
  });
  await forget(conversation.id).catch(() => say(t("store.unreadable"), { kind: "bad" }));
}

/** Whether the open conversation has no messages yet. */
export const isEmptyNow = () => isEmpty(current.value);
