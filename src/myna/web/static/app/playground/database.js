// Conversations in the browser's own database. Where there is none, they live as long as the page.

/** @typedef {import("./values.js").Conversation} Conversation */

const NAME = "myna";
const STORE = "conversations";

/** @type {Map<string, Conversation>} */
const memory = new Map();

/** The browser has no room left. */
export class NoRoom extends Error {}

/** @type {Promise<IDBDatabase | null> | undefined} */
let opening;

/** @returns {Promise<IDBDatabase | null>} */
function database() {
  opening ??= new Promise((resolve) => {
    try {
      const request = indexedDB.open(NAME, 1);
      request.onupgradeneeded = () => request.result.createObjectStore(STORE, { keyPath: "id" });
      request.onsuccess = () => resolve(request.result);
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
 * @param {IDBTransactionMode} mode @param {(store: IDBObjectStore) => IDBRequest<T>} work
 * @returns {Promise<{result: T} | null>} null without a database
 */
async function within(mode, work) {
  const open = await database();
  if (!open) return null;
  return new Promise((resolve, reject) => {
    const transaction = open.transaction(STORE, mode);
    const fail = () => reject(reasonOf(transaction.error));
    transaction.onabort = fail;
    transaction.onerror = fail;
    try {
      const request = work(transaction.objectStore(STORE));
      transaction.oncomplete = () => resolve({ result: request.result });
    } catch (error) {
      reject(reasonOf(error));
    }
  });
}

/** @param {any} error */
const reasonOf = (error) => (error?.name === "QuotaExceededError" ? new NoRoom() : error);

/** Whether what is saved outlives the page. */
export const isKept = async () => (await database()) !== null;

/** All conversations, the latest first. @returns {Promise<Conversation[]>} */
export async function readAll() {
  const found = await within("readonly", (store) => store.getAll());
  const all = found ? found.result : [...memory.values()];
  return all.sort((a, b) => b.updated - a.updated);
}

/** Raises `NoRoom`. @param {Conversation} conversation */
export async function save(conversation) {
  const saved = await within("readwrite", (store) => store.put(conversation));
  if (!saved) memory.set(conversation.id, conversation);
}

/** @param {string} id */
export async function remove(id) {
  memory.delete(id);
  await within("readwrite", (store) => store.delete(id));
}
