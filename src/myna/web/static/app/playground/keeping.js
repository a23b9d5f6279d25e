// This tab's copy of the signed-in key's conversations, synchronized with the browser's database: changes are
// saved after a short delay, and changes saved by other tabs are merged.
import { signal } from "../html.js";
import { t } from "../language.js";
import { say } from "../notices.js";
import { tab } from "../storage.js";
import * as database from "./database.js";
import { merged } from "./merging.js";
import { isEmpty } from "./values.js";

/** @typedef {import("./values.js").Conversation} Conversation */

const SAVE_AFTER_MS = 400;
const LEFT = "left";

export const list = signal(/** @type {Conversation[]} */ ([]));
export const openId = signal("");
let owner = "";
/** @type {Map<string, ReturnType<typeof setTimeout>>} */
const saving = new Map();
/** Each conversation as this tab last read it from the database or wrote it. @type {Map<string, Conversation>} */
const bases = new Map();

/** @param {string} id */
const find = (id) => list.value.find((conversation) => conversation.id === id);

/** @param {string} id @param {(conversation: Conversation) => Conversation} change */
export function replace(id, change) {
  list.value = list.value.map((conversation) => (conversation.id === id ? change(conversation) : conversation));
}

/** Replace the list with the conversations of that key. @param {string} keyId */
export async function readKept(keyId) {
  owner = keyId;
  bases.clear();
  list.value = [];
  try {
    list.value = (await database.readAll(owner)).map(settled);
  } catch {
    say(t("store.unreadable"), { kind: "bad" });
  }
  for (const conversation of list.value) bases.set(conversation.id, conversation);
  takeLeft();
  if (!(await database.isKept())) say(t("store.notKept"));
}

/** Mark answers that ran when their tab was closed as stopped. @param {Conversation} conversation */
function settled(conversation) {
  if (!hasRunning(conversation)) return conversation;
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

/** @param {Conversation} conversation */
const hasRunning = ({ panes }) =>
  panes.some(({ turns }) => turns.some(({ answers }) => answers.some(({ state }) => state === "running")));

/** Save at intervals, not only at the end: the page may be closed before that. @param {string} id */
export function saveSoon(id) {
  if (!saving.has(id)) saving.set(id, setTimeout(() => saveNow(id), SAVE_AFTER_MS));
}

/** @param {string} id */
async function saveNow(id) {
  saving.delete(id);
  const [mine, base] = [find(id), bases.get(id)];
  if (!mine) return;
  try {
    if (isEmpty(mine)) {
      if (base) await forget(id);
      return;
    }
    const saved = await database.save(id, owner, (theirs) => (theirs && base ? merged(base, mine, theirs) : mine));
    bases.set(id, saved);
    if (saved !== mine) replace(id, (now) => merged(mine, now, saved));
  } catch (error) {
    say(t(error instanceof database.NoRoom ? "store.full" : "store.unreadable"), { kind: "bad" });
  }
}

/** Remove it from the database. @param {string} id */
export async function forget(id) {
  clearTimeout(saving.get(id));
  saving.delete(id);
  bases.delete(id);
  await database.remove(id, owner);
}

database.whenChanged(async ({ id, owner: whose }) => {
  if (whose !== owner) return;
  const theirs = await database.read(id, owner);
  const [mine, base] = [find(id), bases.get(id)];
  if (!theirs) {
    bases.delete(id);
    // The open one stays: continuing it saves it again.
    if (mine === base && id !== openId.value) list.value = list.value.filter((other) => other.id !== id);
    return;
  }
  bases.set(id, theirs);
  if (!mine) list.value = [theirs, ...list.value];
  else replace(id, () => (base ? merged(base, mine, theirs) : theirs));
});

// The database may not complete a write while the page closes, so the tab's storage keeps a copy.
window.addEventListener("pagehide", () => {
  const left = list.value
    .filter((conversation) => !isEmpty(conversation) && (saving.has(conversation.id) || hasRunning(conversation)))
    .map(settled);
  if (left.length) tab.set(LEFT, JSON.stringify({ owner, left }));
  for (const conversation of left) database.saveAtOnce(conversation, owner);
});

/** Restore what the tab stored when its page was closed. */
function takeLeft() {
  const { owner: whose = "", left = [] } = JSON.parse(tab.get(LEFT) ?? "{}");
  tab.set(LEFT, null);
  if (whose !== owner) return;
  for (const conversation of /** @type {Conversation[]} */ (left)) {
    if (find(conversation.id)) replace(conversation.id, () => conversation);
    else list.value = [conversation, ...list.value];
    saveSoon(conversation.id);
  }
}
