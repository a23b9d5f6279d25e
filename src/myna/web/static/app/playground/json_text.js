// A strict JSON parser whose errors have a line and column and are the same in all browsers.

/** Where and why a text isn't JSON. `why` is a key in words/. */
export class JsonFault extends Error {
  /** @param {string} text @param {number} place @param {string} why */
  constructor(text, place, why) {
    super(why);
    const before = text.slice(0, place).split("\n");
    this.why = why;
    this.place = place;
    this.line = before.length;
    this.column = (before.at(-1)?.length ?? 0) + 1;
  }
}

/** The parsed value. Throws `JsonFault`. @param {string} text @returns {any} */
export function parseJson(text) {
  try {
    const value = JSON.parse(text);
    const twice = duplicate(text);
    if (twice >= 0) throw new JsonFault(text, twice, "json.twice");
    return value;
  } catch (error) {
    if (error instanceof JsonFault) throw error;
    throw new Reader(text).fault();
  }
}

/** @param {string} text @returns {number} */
function duplicate(text) {
  const reader = new Reader(text);
  reader.value();
  return reader.twice;
}

const SPACE = /[ \t\n\r]*/y;
const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
const STRING = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[\da-fA-F]{4}))*"/y;
const WORD = /true|false|null/y;

/** Scans the text up to the first JSON error. */
class Reader {
  /** @param {string} text */
  constructor(text) {
    this.text = text;
    this.at = 0;
    this.twice = -1;
  }

  /** The error in a text that JSON.parse rejected. @returns {JsonFault} */
  fault() {
    try {
      this.value();
      this.#skip();
      return new JsonFault(this.text, this.at, "json.rest");
    } catch (error) {
      return error instanceof JsonFault ? error : new JsonFault(this.text, this.at, "json.value");
    }
  }

  value() {
    this.#skip();
    const next = this.text[this.at];
    if (next === "{") this.#object();
    else if (next === "[") this.#array();
    else if (next === '"') this.#string();
    else if (!this.#take(NUMBER) && !this.#take(WORD)) this.#fail(next === undefined ? "json.end" : "json.value");
  }

  #object() {
    this.at++;
    const names = new Set();
    if (this.#closes("}")) return;
    do {
      this.#skip();
      const start = this.at;
      if (this.text[start] !== '"') this.#fail(start >= this.text.length ? "json.end" : "json.name");
      this.#string();
      const name = JSON.parse(this.text.slice(start, this.at));
      if (names.has(name) && this.twice < 0) this.twice = start;
      names.add(name);
      this.#skip();
      if (this.text[this.at] !== ":") this.#fail("json.colon");
      this.at++;
      this.value();
    } while (this.#goesOn("}"));
  }

  #array() {
    this.at++;
    if (this.#closes("]")) return;
    do this.value();
    while (this.#goesOn("]"));
  }

  #string() {
    if (!this.#take(STRING)) this.#fail("json.string");
  }

  /** @param {string} end */
  #closes(end) {
    this.#skip();
    if (this.text[this.at] !== end) return false;
    this.at++;
    return true;
  }

  /** @param {string} end */
  #goesOn(end) {
    if (this.#closes(end)) return false;
    if (this.text[this.at] !== ",") this.#fail(this.at >= this.text.length ? "json.end" : "json.comma");
    this.at++;
    return true;
  }

  #skip() {
    this.#take(SPACE);
  }

  /** @param {RegExp} pattern */
  #take(pattern) {
    pattern.lastIndex = this.at;
    const found = pattern.exec(this.text);
    if (found) this.at = pattern.lastIndex;
    return found !== null;
  }

  /** @param {string} why @returns {never} */
  #fail(why) {
    throw new JsonFault(this.text, this.at, why);
  }
}
