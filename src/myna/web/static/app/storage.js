// Small values in the browser's storage. If it is unavailable (private windows, policies), they are not stored.

/** @param {Storage | undefined} place @param {string} key @returns {string | null} */
function read(place, key) {
  try {
    return place?.getItem(key) ?? null;
  } catch {
    return null;
  }
}

/** @param {Storage | undefined} place @param {string} key @param {string | null} value */
function write(place, key, value) {
  try {
    if (value === null) place?.removeItem(key);
    else place?.setItem(key, value);
  } catch {
    // The caller's variable still holds it until the page is closed.
  }
}

/** @returns {Storage | undefined} */
function place(/** @type {"localStorage" | "sessionStorage"} */ name) {
  try {
    return window[name];
  } catch {
    return undefined;
  }
}

/** What outlives the tab: the theme, the language. */
export const preferences = {
  get: (/** @type {string} */ key) => read(place("localStorage"), `myna.${key}`),
  set: (/** @type {string} */ key, /** @type {string | null} */ value) =>
    write(place("localStorage"), `myna.${key}`, value),
};

/** What ends with the tab: the key. */
export const tab = {
  get: (/** @type {string} */ key) => read(place("sessionStorage"), `myna.${key}`),
  set: (/** @type {string} */ key, /** @type {string | null} */ value) =>
    write(place("sessionStorage"), `myna.${key}`, value),
};
