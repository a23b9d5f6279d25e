// Runs Python in a worker of the sandboxed frame. It receives Python's files and the code as messages.
const BASE = "https://python.invalid/";
const MOST_CHARS = 200_000;
const FLUSH_CHARS = 4_000;
const FLUSH_MS = 50;

// A module made from bytes can't be a worker in an opaque origin, so this is a script; Pyodide treats it as
// a module worker because importScripts fails.
self.importScripts = () => {
  throw new TypeError("There is no network here.");
};

const TYPES = { wasm: "application/wasm", json: "application/json", zip: "application/zip" };

let python;

/** Sends a stream's output in pieces, up to a limit. */
class Printer {
  constructor(kind, budget) {
    this.kind = kind;
    this.budget = budget;
    this.decoder = new TextDecoder();
    this.waiting = "";
    this.lastMs = 0;
  }

  write = (bytes) => {
    this.waiting += this.decoder.decode(bytes, { stream: true });
    if (this.waiting.length > FLUSH_CHARS || performance.now() - this.lastMs > FLUSH_MS) this.flush();
    return bytes.length;
  };

  flush() {
    const text = this.waiting.slice(0, Math.max(0, this.budget.chars));
    const isCut = this.waiting.length > this.budget.chars && this.budget.chars > 0;
    this.budget.chars -= this.waiting.length;
    this.waiting = "";
    this.lastMs = performance.now();
    if (text) self.postMessage({ kind: this.kind, text: isCut ? `${text}\n… (more than ${MOST_CHARS} characters)\n` : text });
  }
}

/** Serve Python's files from memory to its fetches. */
function serve(files) {
  self.fetch = async (address) => {
    const name = String(address).split("/").at(-1);
    if (!String(address).startsWith(BASE) || !(name in files)) throw new TypeError("There is no network here.");
    return new Response(files[name], { headers: { "content-type": TYPES[name.split(".").at(-1)] } });
  };
}

const moduleOf = (bytes) => import(URL.createObjectURL(new Blob([bytes], { type: "text/javascript" })));

async function start(files) {
  serve(files);
  const [{ loadPyodide }, { default: createPyodideModule }] = await Promise.all([
    moduleOf(files["pyodide.mjs"]),
    moduleOf(files["pyodide.asm.mjs"]),
  ]);
  const lock = JSON.parse(new TextDecoder().decode(files["pyodide-lock.json"]));
  python = await loadPyodide({
    indexURL: BASE,
    createPyodideModule,
    lockFileContents: { ...lock, packages: {} },
    stdin: () => null,
    checkAPIVersion: true,
  });
}

/** The traceback without the frames above the code, which only show how it was started. */
function ownPart(message) {
  const lines = message.split("\n");
  const first = lines.findIndex((line) => line.includes('File "<code>"'));
  return first < 0 ? message : ["Traceback (most recent call last):", ...lines.slice(first)].join("\n");
}

async function run(code) {
  const budget = { chars: MOST_CHARS };
  const printers = [new Printer("out", budget), new Printer("err", budget)];
  python.setStdout({ write: printers[0].write });
  python.setStderr({ write: printers[1].write });
  const names = python.toPy({ __name__: "__main__" });
  let [kind, text] = ["value", ""];
  try {
    const value = await python.runPythonAsync(code, { globals: names, filename: "<code>" });
    if (value !== undefined) text = python.globals.get("repr")(value).slice(0, MOST_CHARS);
  } catch (error) {
    [kind, text] = ["trouble", ownPart(String(error.message ?? error))];
  }
  python.runPython("import sys; sys.stdout.flush(); sys.stderr.flush()");
  for (const printer of printers) printer.flush();
  if (text) self.postMessage({ kind, text });
  names.destroy();
}

self.onmessage = async ({ data }) => {
  try {
    if (data.files) {
      await start(data.files);
      self.postMessage({ kind: "ready" });
    } else {
      await run(data.code);
      self.postMessage({ kind: "done" });
    }
  } catch (error) {
    self.postMessage({ kind: "trouble", text: String(error) });
    self.postMessage({ kind: "done" });
  }
};
