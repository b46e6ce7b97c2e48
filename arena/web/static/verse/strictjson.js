// Strict JSON (SPEC.md, section 7): a text has exactly one meaning, or is an error.
//
// JSON.parse keeps the last of two equal keys, and 2.0 and 2 are one number to it. So this parser gives a Map for an
// object, a number for an integer, and a `Real` for a number with a fraction or an exponent.

const MAX_DEPTH = 64; // arrays and objects within each other
const NUMBER = /-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?/y;
const PLAIN = /[^"\\\u0000-\u001f]*/y; // characters of a string that stand for themselves
const BLANKS = /[ \t\n\r]*/y;
const HALF_PAIR = /\p{Surrogate}/u; // half a surrogate pair: whole pairs are one character here
const ESCAPES = { '"': '"', "\\": "\\", "/": "/", b: "\b", f: "\f", n: "\n", r: "\r", t: "\t" };
const NAMES = { true: true, false: false, null: null };

/** A number that is written with a fraction or an exponent. */
export class Real {
  constructor(value) {
    this.value = value;
  }
}

/** The value of a number of either kind; undefined for anything else. */
export function numberOf(value) {
  return value instanceof Real ? value.value : typeof value === "number" ? value : undefined;
}

export function isInteger(value, low, high) {
  return typeof value === "number" && value >= low && value <= high;
}

/** Whether this is an object with exactly these keys. */
export function hasKeys(value, ...keys) {
  return value instanceof Map && value.size === keys.length && keys.every((key) => value.has(key));
}

/** Read UTF-8. Throws if it is not; a byte order mark stays a character. */
export function decodeUtf8(bytes) {
  return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
}

/** Parse a JSON text. Throws an Error whose message says what is wrong and where. */
export function parseJson(text) {
  const parser = new Parser(text);
  const value = parser.value(0);
  parser.skipSpace();
  if (parser.at < text.length) parser.fail("more than one value");
  return value;
}

class Parser {
  constructor(text) {
    this.text = text;
    this.at = 0;
  }

  fail(what) {
    throw new Error(`${what} at character ${this.at}`);
  }

  match(pattern) {
    pattern.lastIndex = this.at;
    const found = pattern.exec(this.text);
    if (found) this.at = pattern.lastIndex;
    return found;
  }

  skipSpace() {
    this.match(BLANKS);
  }

  /** Take one character if it comes next. */
  take(character) {
    this.skipSpace();
    const found = this.text[this.at] === character;
    if (found) this.at += 1;
    return found;
  }

  value(depth) {
    if (this.take('"')) return this.string();
    if (this.take("[")) return this.array(depth + 1);
    if (this.take("{")) return this.object(depth + 1);
    for (const name in NAMES) {
      if (this.text.startsWith(name, this.at)) {
        this.at += name.length;
        return NAMES[name];
      }
    }
    return this.number();
  }

  number() {
    const found = this.match(NUMBER);
    if (!found) this.fail("no JSON value");
    const value = Number(found[0]);
    if (!Number.isFinite(value)) this.fail("a number beyond binary64");
    if (found[1] !== undefined || found[2] !== undefined) return new Real(value);
    if (found[0] === "-0") this.fail("the integer -0");
    return value;
  }

  string() {
    let value = "";
    for (;;) {
      value += this.match(PLAIN)[0];
      const next = this.text[this.at];
      if (next === '"') break;
      if (next !== "\\") this.fail("a control character in a string, or no end of it");
      const escape = this.text[this.at + 1];
      if (escape === "u") {
        const digits = this.text.slice(this.at + 2, this.at + 6);
        if (!/^[0-9a-fA-F]{4}$/.test(digits)) this.fail("an escape that does not exist");
        value += String.fromCharCode(parseInt(digits, 16));
        this.at += 6;
      } else {
        if (!Object.hasOwn(ESCAPES, escape ?? "")) this.fail("an escape that does not exist");
        value += ESCAPES[escape];
        this.at += 2;
      }
    }
    this.at += 1;
    if (HALF_PAIR.test(value)) this.fail("half a surrogate pair in a string");
    return value;
  }

  enter(depth) {
    if (depth > MAX_DEPTH) this.fail(`more than ${MAX_DEPTH} arrays and objects within each other`);
  }

  array(depth) {
    this.enter(depth);
    const items = [];
    if (this.take("]")) return items;
    do items.push(this.value(depth)); while (this.take(","));
    if (!this.take("]")) this.fail("no end of an array");
    return items;
  }

  object(depth) {
    this.enter(depth);
    const object = new Map();
    if (this.take("}")) return object;
    do {
      if (!this.take('"')) this.fail("no key of an object");
      const key = this.string();
      if (object.has(key)) this.fail("a key that stands twice");
      if (!this.take(":")) this.fail("no colon after a key");
      object.set(key, this.value(depth));
    } while (this.take(","));
    if (!this.take("}")) this.fail("no end of an object");
    return object;
  }
}
