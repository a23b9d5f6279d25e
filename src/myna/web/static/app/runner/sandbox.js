// Python in a frame that can only compute: it has no network, no storage and no access to this page except
// one port. Its files are fetched here and passed to it. Stopping removes the whole frame.
import { urlOf } from "../api.js";

export const LIMIT_S = 30;
const FILES = ["pyodide.mjs", "pyodide.asm.mjs", "pyodide.asm.wasm", "python_stdlib.zip", "pyodide-lock.json"];

/** Python isn't on the server. */
export class NotInstalled extends Error {}

/** @typedef {{kind: "out" | "err" | "value" | "trouble" | "state", text: string}} Piece */
/** @typedef {{frame: HTMLIFrameElement, port: MessagePort}} Sandbox */

/** @type {Promise<Sandbox> | null} */
let opened = null;
/** @type {((ending: "stopped" | "late") => void) | null} */
let endRun = null;

/** Stop the current run. @param {"stopped" | "late"} [ending] */
export function stopPython(ending = "stopped") {
  const sandbox = opened;
  opened = null;
  sandbox?.then(
    ({ frame, port }) => {
      port.close();
      frame.remove();
    },
    () => {},
  );
  endRun?.(ending);
}

/**
 * Run the code, stopping an earlier run. `show` receives the output.
 * @param {string} code @param {(piece: Piece) => void} show
 * @returns {Promise<"done" | "stopped" | "late">}
 */
export async function runPython(code, show) {
  if (endRun) stopPython();
  /** @type {Promise<"stopped" | "late">} */
  const stopped = new Promise((resolve) => (endRun = resolve));
  const mine = endRun;
  try {
    return await Promise.race([stopped, runIn(code, show, mine)]);
  } finally {
    if (endRun === mine) endRun = null;
  }
}

/** @param {string} code @param {(piece: Piece) => void} show @param {unknown} mine @returns {Promise<"done">} */
async function runIn(code, show, mine) {
  show({ kind: "state", text: "starting" });
  opened ??= open();
  const opening = opened;
  /** @type {Sandbox} */
  let sandbox;
  try {
    sandbox = await opening;
  } catch (error) {
    if (opened === opening) opened = null;
    throw error;
  }
  if (endRun !== mine) return "done"; // stopped in the meantime; nothing waits for this result
  const limit = setTimeout(() => endRun === mine && stopPython("late"), LIMIT_S * 1000);
  show({ kind: "state", text: "running" });
  return new Promise((resolve) => {
    sandbox.port.onmessage = ({ data }) => {
      if (data?.kind === "done") {
        clearTimeout(limit);
        resolve("done");
      } else if (["out", "err", "value", "trouble"].includes(data?.kind)) {
        show({ kind: data.kind, text: String(data.text) });
      }
    };
    sandbox.port.postMessage({ code });
  });
}

/** @returns {Promise<Sandbox>} */
async function open() {
  const [worker, ...files] = await Promise.all([
    bytes("static/runner/worker.js"),
    ...FILES.map((name) => bytes(`static/pyodide/${name}`)),
  ]);
  const frame = document.createElement("iframe");
  frame.setAttribute("sandbox", "allow-scripts");
  frame.src = urlOf("static/runner/frame.html");
  frame.title = "Python";
  frame.hidden = true;
  const { port1: port, port2: theirs } = new MessageChannel();
  const isReady = new Promise((resolve, reject) => {
    port.onmessage = ({ data }) => (data?.kind === "ready" ? resolve(undefined) : reject(new Error(data?.text)));
  });
  /** @param {MessageEvent} event */
  function greet(event) {
    if (event.source !== frame.contentWindow || event.data !== "hello") return;
    window.removeEventListener("message", greet);
    const named = Object.fromEntries(FILES.map((name, place) => [name, files[place]]));
    // The frame's origin is opaque, so "*" is the only possible target; the message contains no secrets.
    frame.contentWindow?.postMessage({ worker, files: named }, "*", [theirs, worker, ...Object.values(named)]);
  }
  window.addEventListener("message", greet);
  document.body.append(frame);
  await isReady;
  return { frame, port };
}

/** @param {string} path @returns {Promise<ArrayBuffer>} */
async function bytes(path) {
  const response = await fetch(urlOf(path));
  if (response.status === 404) throw new NotInstalled();
  if (!response.ok) throw new Error(`${response.status}`);
  return response.arrayBuffer();
}
