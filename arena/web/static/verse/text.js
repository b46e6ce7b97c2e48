// The text of a verse (SPEC.md, section 5): where it ends, and which bytes are text.

import { decodeUtf8 } from "./strictjson.js";
import { joinBytes } from "./vocabulary.js";

const LF = 0x0a, SPACE = 0x20;
const FORBIDDEN = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

/** Counts complete lines while tokens are added. A line counts if it has a byte other than a space. */
export class LineEnd {
  constructor(lines) {
    this.lines = lines; // non-empty lines of the verse; 0: it does not end by lines
    this.cut = null; // bytes of the verse, once it has ended by lines
    this.complete = 0;
    this.bytes = 0; // seen so far
    this.hasInk = false; // in the line that is not complete yet
  }

  /** Add the bytes of one token. Returns whether the verse ends with it. */
  push(token) {
    for (const byte of token) {
      if (byte === LF) {
        if (this.hasInk) this.complete += 1;
        this.hasInk = false;
        if (this.lines > 0 && this.complete === this.lines && this.cut === null) this.cut = this.bytes;
      } else if (byte !== SPACE) this.hasInk = true;
      this.bytes += 1;
    }
    return this.cut !== null;
  }
}

/** How many of the ids belong to the verse; null if it is longer. */
export function lengthOf(vocabulary, recipe, ids) {
  const end = new LineEnd(recipe.lines);
  for (let count = 1; count <= Math.min(ids.length, recipe.tokens); count += 1) {
    if (end.push(vocabulary[ids[count - 1]]) || count === recipe.tokens) return count;
  }
  return null;
}

/** The text of a verse; null if its bytes are not UTF-8, or hold a character that no verse may have. */
export function verseText(vocabulary, recipe, ids) {
  const end = new LineEnd(recipe.lines);
  for (const id of ids) end.push(vocabulary[id]);
  const bytes = joinBytes(ids.map((id) => vocabulary[id]));
  try {
    const text = decodeUtf8(bytes.subarray(0, end.cut ?? bytes.length));
    return text.search(FORBIDDEN) === -1 ? text : null;
  } catch {
    return null;
  }
}

/** Any bytes as people are shown them; U+FFFD stands for what is not UTF-8, and for what no verse may hold. */
export function readable(bytes) {
  return hideForbidden(new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes));
}

/** A text with U+FFFD for each character that no verse may hold. */
export function hideForbidden(text) {
  return text.replace(FORBIDDEN, "\ufffd");
}
