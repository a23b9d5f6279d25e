// The conversations and which of them is open. What changes is saved a moment later.
import { computed, signal } from "../html.js";
import { t } from "../language.js";
import { say } from "../notices.js";
import { models } from "../session.js";
import { preferences } from "../storage.js";
import * as database from "./database.js";
import { isEmpty, newConversation, newPane, titleOf, withPane, withTurn } from "./values.js";

/** @typedef {import("./values.js").Conversation} Conversation */
/** @typedef {import("./values.js").Mode} Mode */
/** @typedef {import("./values.js").Pane} Pane */
/** @typedef {import("./values.js").Turn} Turn */

const SAVE_AFTER_MS = 400;

export const list = signal(/** @type {Conversation[]} */ ([]));
const openId = signal("");
/** @type {Map<string, ReturnType<typeof setTimeout>>} */
const saving = new Map();

/** Stands in until `load` has opened one; nothing is said to it. */
const nobody = newConversation("chat", "");

export const current = computed(
  () => list.value.find((conversation) => conversation.id === openId.value) ?? nobody,
);

/** The model to begin with: the last that was chosen, if it is still there. */
function firstModel() {
  const last = preferences.get("model");
  const known = models.value.map((model) => model.id);
  return last && known.includes(last) ? last : (known[0] ?? "");
}

/** Read what was kept, and open a fresh conversation. */
export async function load() {
  if (openId.value) {
    if (isEmpty(current.value)) fillModels();
    return;
  }
  try {
    list.value = (await database.readAll()).map(settled);
  } catch {
    say(t("store.unreadable"), { kind: "bad" });
  }
  if (!(await database.isKept())) say(t("store.notKept"));
  begin(preferences.get("mode") === "completion" ? "completion" : "chat");
}

/** An answer that ran when the page was left doesn't run any more. @param {Conversation} conversation */
function settled(conversation) {
  const panes = conversation.panes.map((pane) => ({
    ...pane,
    turns: pane.turns.map((turn) => ({
      ...turn,
      answers: turn.answers.map((answer) =>
        answer.state === "running" ? { ...answer, state: /** @type {const} */ ("stopped") } : answer,
      ),
    })),
  }));
  return { ...conversation, panes };
}

function fillModels() {
  const known = new Set(models.value.map((model) => model.id));
  for (const pane of current.value.panes) {
    if (!known.has(pane.model) && firstModel()) changePane(pane.id, (old) => ({ ...old, model: firstModel() }));
  }
}

/** A new conversation; an empty one that is open is used. @param {Mode} mode @param {Partial<Pane>} [given] */
export function begin(mode, given) {
  preferences.set("mode", mode);
  const before = list.value.find((conversation) => conversation.id === openId.value);
  const model = before?.panes[0]?.model || firstModel();
  const fresh = newConversation(mode, model);
  if (given) fresh.panes = [{ ...newPane(model), ...given }];
  const others = list.value.filter((other) => other !== before || !isEmpty(other));
  if (before && isEmpty(before)) database.remove(before.id).catch(() => {});
  list.value = [fresh, ...others];
  openId.value = fresh.id;
  if (given) saveSoon(fresh.id);
}

/** @param {string} id */
export function open(id) {
  const before = current.value;
  openId.value = id;
  if (before.id !== id && isEmpty(before)) list.value = list.value.filter((other) => other.id !== before.id);
}

/** @param {(conversation: Conversation) => Conversation} change @param {string} [id] */
export function change(change, id = openId.value) {
  list.value = list.value.map((conversation) => (conversation.id === id ? change(conversation) : conversation));
  saveSoon(id);
}

/** @param {string} paneId @param {(pane: Pane) => Pane} changed @param {string} [id] */
export const changePane = (paneId, changed, id) => change((old) => withPane(old, paneId, changed), id);

/** @param {string} paneId @param {string} turnId @param {(turn: Turn) => Turn} changed @param {string} [id] */
export const changeTurn = (paneId, turnId, changed, id) =>
  changePane(paneId, (pane) => withTurn(pane, turnId, changed), id);

/** Put a conversation as it was in place of what it has become. @param {Conversation} conversation */
export function restore(conversation) {
  const isThere = list.value.some((other) => other.id === conversation.id);
  if (isThere) change(() => conversation, conversation.id);
  else list.value = [conversation, ...list.value];
  openId.value = conversation.id;
  saveSoon(conversation.id);
}

/** @param {string} id @param {string} title */
export const rename = (id, title) => change((old) => ({ ...old, title: title.trim() }), id);

/** @param {Conversation} conversation */
export async function remove(conversation) {
  const wasOpen = conversation.id === openId.value;
  clearTimeout(saving.get(conversation.id));
  saving.delete(conversation.id);
  list.value = list.value.filter((other) => other.id !== conversation.id);
  if (wasOpen) begin(conversation.mode);
  say(t("store.deleted", { title: titleOf(conversation) }), {
    action: { label: t("store.undo"), run: () => restore(conversation) },
  });
  await database.remove(conversation.id).catch(() => say(t("store.unreadable"), { kind: "bad" }));
}

/** At most once in a while, and not only at the end: a page may be left in the middle. @param {string} id */
function saveSoon(id) {
  if (!saving.has(id)) saving.set(id, setTimeout(() => saveNow(id), SAVE_AFTER_MS));
}

/** @param {string} id */
async function saveNow(id) {
  saving.delete(id);
  const conversation = list.value.find((other) => other.id === id);
  if (!conversation || isEmpty(conversation)) return;
  try {
    await database.save(conversation);
  } catch (error) {
    say(t(error instanceof database.NoRoom ? "store.full" : "store.unreadable"), { kind: "bad" });
  }
}

window.addEventListener("pagehide", () => {
  for (const [id, timer] of saving) {
    clearTimeout(timer);
    saveNow(id);
  }
});

/** Whether nothing was said in the open conversation yet. */
export const isEmptyNow = () => isEmpty(current.value);
