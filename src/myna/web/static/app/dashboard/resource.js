// API data for a part of the page: loaded when the part appears, reloaded at intervals while it is visible, and
// retried automatically if the server could not answer.
import { ApiError, ask } from "../api.js";
import { useEffect, useSignal } from "../html.js";

/** @typedef {{data: any, error: Error | null, reload: () => void}} Resource */

const RETRY_MS = 5000;

/**
 * The response from `path`. Old data stays until new data arrives, and when a reload fails.
 * @param {string} path "": nothing is loaded @param {number} [everyMs] 0: once
 * @returns {Resource}
 */
export function useResource(path, everyMs = 0) {
  const found = useSignal({ data: /** @type {any} */ (null), error: /** @type {Error | null} */ (null) });
  const turn = useSignal(0);
  useEffect(() => {
    if (!path) return undefined;
    const leaving = new AbortController();
    /** @type {ReturnType<typeof setTimeout>} */
    let timer;
    async function load() {
      let waitMs = everyMs;
      try {
        const data = await ask("GET", path, undefined, leaving.signal);
        if (!leaving.signal.aborted) found.value = { data, error: null };
      } catch (error) {
        if (leaving.signal.aborted) return;
        found.value = { data: found.value.data, error: error instanceof Error ? error : new Error(String(error)) };
        if (isPassing(error)) waitMs ||= RETRY_MS;
      }
      if (waitMs && !leaving.signal.aborted) timer = setTimeout(loadWhenSeen, waitMs);
    }
    function loadWhenSeen() {
      if (!document.hidden) load();
      else document.addEventListener("visibilitychange", load, { once: true, signal: leaving.signal });
    }
    load();
    return () => {
      leaving.abort();
      clearTimeout(timer);
    };
  }, [path, everyMs, turn.value]);
  return { ...found.value, reload: () => (turn.value += 1) };
}

/** Whether a retry may work: no response, or a server error. @param {unknown} error */
const isPassing = (error) => error instanceof ApiError && (error.status === 0 || error.status >= 500);
