// What a part of the page shows of the API: asked for when it appears, again at intervals while it is looked at, and
// again by itself after the server could not answer.
import { ApiError, ask } from "../api.js";
import { useEffect, useSignal } from "../html.js";

/** @typedef {{data: any, error: Error | null, reload: () => void}} Resource */

const RETRY_MS = 5000;

/**
 * The answer at `path`. Old data stays until new arrives, and when asking again fails.
 * @param {string} path an empty one asks for nothing @param {number} [everyMs] 0: once
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

/** Whether asking again later may work: no answer, or the server's own failure. @param {unknown} error */
const isPassing = (error) => error instanceof ApiError && (error.status === 0 || error.status >= 500);
