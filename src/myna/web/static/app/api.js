// All requests to the server: sends them with the key and reports every failure as one kind of error.
import { explained, t } from "./language.js";
import { tab } from "./storage.js";

let key = tab.get("key") ?? "";
/** @type {(error: ApiError) => void} */
let onRefused = () => {};

/** Store the key for this tab; an empty string removes it. @param {string} value */
export function setKey(value) {
  key = value;
  tab.set("key", value || null);
}

export const hasKey = () => key !== "";

/** Set the callback for when the server rejects the key. @param {(error: ApiError) => void} listener */
export function whenRefused(listener) {
  onRefused = listener;
}

/** The URL of an API path, whichever folder of the host this page is served from. @param {string} path */
export const urlOf = (path) => new URL(path, document.baseURI).href;

/** A failed request. `message` is a sentence for the user; `status` is 0 if there was no response. */
export class ApiError extends Error {
  /**
   * @param {string} message
   * @param {{status?: number, code?: string | null, param?: string | null, retryAfterS?: number}} [about]
   */
  constructor(message, { status = 0, code = null, param = null, retryAfterS = 0 } = {}) {
    super(message);
    this.status = status;
    this.code = code;
    this.param = param;
    this.retryAfterS = retryAfterS;
  }

  /** Whether the server doesn't know the key, as opposed to a key without this permission. */
  get isWrongKey() {
    return this.status === 401 && (this.code === "invalid_api_key" || !/scope/i.test(this.message));
  }
}

/**
 * Send a request. Throws `ApiError` unless the response is a success.
 * @param {string} method @param {string} path @param {unknown} [body] @param {AbortSignal} [signal]
 * @returns {Promise<Response>}
 */
export async function send(method, path, body, signal) {
  /** @type {Record<string, string>} */
  const headers = key ? { authorization: `Bearer ${key}` } : {};
  if (body !== undefined) headers["content-type"] = "application/json";
  /** @type {Response} */
  let response;
  try {
    response = await fetch(urlOf(path), {
      method,
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      signal,
      cache: "no-store",
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ApiError(t("error.unreachable"));
  }
  if (response.ok) return response;
  const failure = await errorOf(response);
  if (failure.isWrongKey) onRefused(failure);
  throw failure;
}

/** The JSON of a successful response. @param {string} method @param {string} path @param {unknown} [body] @param {AbortSignal} [signal] */
export async function ask(method, path, body, signal) {
  const response = await send(method, path, body, signal);
  return response.json();
}

/** @param {Response} response @returns {Promise<ApiError>} */
async function errorOf(response) {
  /** @type {{message?: string, code?: string, param?: string}} */
  let said = {};
  try {
    said = (await response.json()).error ?? {};
  } catch {
    // Not from the API: a proxy's page, or a truncated response.
  }
  return errorFrom(said, response.status, Number(response.headers.get("retry-after")) || 0);
}

/**
 * Convert the API's error object. In a stream it has no status; without a code, it is explained as a 500.
 * @param {{message?: string, code?: string | null, param?: string | null}} error
 * @param {number} [status] @param {number} [retryAfterS]
 */
export function errorFrom({ message, code, param }, status = 0, retryAfterS = 0) {
  const shown = message ? explained(message, code, status || 500) : "";
  return new ApiError(sentence(status, shown, retryAfterS), { status, code, param, retryAfterS });
}

/** @param {number} status @param {string} message @param {number} retryAfterS */
function sentence(status, message, retryAfterS) {
  const said = message || t("error.status", { status });
  if (status !== 429 && status !== 503) return said;
  const wait = retryAfterS ? t("error.comeBack", { seconds: retryAfterS }) : t("error.comeBackLater");
  return `${said} ${wait}`;
}
