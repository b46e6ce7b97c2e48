// The text of a verse (SPEC.md, section 5): where it ends, and which characters it may have.

const FORBIDDEN = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

/** Counts complete lines while tokens are added. A line counts if it has a character other than a space. */
export class LineEnd {
  constructor(lines) {
    this.lines = lines; // non-empty lines of the verse; 0: it does not end by lines
    this.cut = null; // length of the verse as JavaScript counts it, once it has ended by lines
    this.complete = 0;
    this.length = 0; // seen so far
    this.hasInk = false; // in the line that is not complete yet
  }

  /** Add the text of one token. Returns whether the verse ends with it. */
  push(token) {
    for (const character of token) {
      if (character === "\n") {
        if (this.hasInk) this.complete += 1;
        this.hasInk = false;
        if (this.lines > 0 && this.complete === this.lines && this.cut === null) this.cut = this.length;
      } else if (character !== " ") this.hasInk = true;
      this.length += character.length;
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

/** The text of tokens, joined. */
export function decode(vocabulary, ids) {
  return ids.map((id) => vocabulary[id]).join("");
}

/** The text of a verse; null if it holds a character that no verse may have. */
export function verseText(vocabulary, recipe, ids) {
  const end = new LineEnd(recipe.lines);
  for (const id of ids) end.push(vocabulary[id]);
  const text = decode(vocabulary, ids).slice(0, end.cut ?? undefined);
  return text.search(FORBIDDEN) === -1 ? text : null;
}

/** A text with U+FFFD for each character that no verse may hold. */
export function hideForbidden(text) {
  return text.replace(FORBIDDEN, "\ufffd");
}
