// Conversations in the browser's database, each owned by one key. Without a database, they last only as long as
// the page. The tabs of a browser notify each other of what they have saved.

/** @typedef {import("./values.js").Conversation} Conversation */
/** A conversation as stored in the database; one without an owner is given to the next key that signs in.
 * @typedef {Conversation & {owner?: string}} Kept */
/** `owner` is the key's public id, empty if keys aren't required. @typedef {{id: string, owner: string}} Change */

const NAME = "myna";
const STORE = "conversations";

/** @type {Map<string, Kept>} */
const memory = new Map();
const tabs = new BroadcastChannel("myna.conversations");

/** The browser has no space left. */
export class NoRoom extends Error {}

/** @type {Promise<IDBDatabase | null> | undefined} */
let opening;
/** @type {IDBDatabase | null} */
let opened = null;

/** @returns {Promise<IDBDatabase | null>} */
function database() {
  opening ??= new Promise((resolve) => {
    try {
      const request = indexedDB.open(NAME, 1);
      request.onupgradeneeded = () => request.result.createObjectStore(STORE, { keyPath: "id" });
      request.onsuccess = () => resolve((opened = request.result));
      request.onerror = () => resolve(null);
      request.onblocked = () => resolve(null);
    } catch {
      resolve(null);
    }
  });
  return opening;
}

/**
 * @template T
 * @param {IDBTransactionMode} mode
 * @param {(store: IDBObjectStore) => IDBRequest<T>} first
 * @param {(store: IDBObjectStore, found: T) => void} [second] uses the result, in the same transaction
 * @returns {Promise<{result: T} | null>} null without a database
 */
async function within(mode, first, second = () => {}) {
  const open = await database();
  if (!open) return null;
  return new Promise((resolve, reject) => {
    const transaction = open.transaction(STORE, mode);
    const store = transaction.objectStore(STORE);
    const fail = (/** @type {any} */ error) => reject(reasonOf(error ?? transaction.error));
    transaction.onabort = () => fail(null);
    transaction.onerror = () => fail(null);
    try {
      const request = first(store);
      request.onsuccess = () => {
        try {
          second(store, request.result);
        } catch (error) {
          fail(error);
        }
      };
      transaction.oncomplete = () => resolve({ result: request.result });
    } catch (error) {
      fail(error);
    }
  });
}

/** @param {any} error */
const reasonOf = (error) => (error?.name === "QuotaExceededError" ? new NoRoom() : error);

/** @param {Kept} kept @returns {Conversation} */
function conversationOf({ owner: _, ...kept }) {
  return { ...kept, draft: kept.draft ?? "" };
}

/** Whether saved data outlives the page. */
export const isKept = async () => (await database()) !== null;

/** All conversations of the owner, newest first; a key takes over those without an owner. @param {string} owner @returns {Promise<Conversation[]>} */
export async function readAll(owner) {
  const found = await within(
    "readwrite",
    (store) => /** @type {IDBRequest<Kept[]>} */ (store.getAll()),
    (store, all) => owner && all.filter((kept) => !kept.owner).forEach((kept) => store.put({ ...kept, owner })),
  );
  const all = found ? found.result : [...memory.values()];
  const own = all.filter((kept) => !kept.owner || kept.owner === owner);
  return own.map(conversationOf).sort((a, b) => b.updated - a.updated);
}

/** @param {string} id @param {string} owner @returns {Promise<Conversation | null>} */
export async function read(id, owner) {
  const found = await within("readonly", (store) => /** @type {IDBRequest<Kept | undefined>} */ (store.get(id)));
  const kept = found ? found.result : memory.get(id);
  return kept && (kept.owner ?? "") === owner ? conversationOf(kept) : null;
}

/**
 * Pass the stored conversation to `merge`, then save and return the result. Throws `NoRoom`.
 * @param {string} id @param {string} owner @param {(kept: Conversation | null) => Conversation} merge
 */
export async function save(id, owner, merge) {
  let saved = /** @type {Conversation | null} */ (null);
  const done = await within(
    "readwrite",
    (store) => /** @type {IDBRequest<Kept | undefined>} */ (store.get(id)),
    (store, kept) => {
      saved = merge(kept ? conversationOf(kept) : null);
      store.put(owner ? { ...saved, owner } : saved);
    },
  );
  if (done) tabs.postMessage({ id, owner });
  saved ??= merge(null);
  if (!done) memory.set(id, owner ? { ...saved, owner } : saved);
  return saved;
}

/** Save it unmerged while the page is closing: nothing awaited would be completed. @param {Conversation} conversation @param {string} owner */
export function saveAtOnce(conversation, owner) {
  try {
    const transaction = opened?.transaction(STORE, "readwrite");
    transaction?.objectStore(STORE).put(owner ? { ...conversation, owner } : conversation);
    transaction?.commit();
  } catch {
    return; // There is no way to report it.
  }
  tabs.postMessage({ id: conversation.id, owner });
}

/** @param {string} id @param {string} owner */
export async function remove(id, owner) {
  memory.delete(id);
  if (await within("readwrite", (store) => store.delete(id))) tabs.postMessage({ id, owner });
}

/** Listen for what other tabs save or remove. @param {(change: Change) => void} listener */
export function whenChanged(listener) {
  tabs.addEventListener("message", (event) => listener(event.data));
}
