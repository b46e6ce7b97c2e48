// What each token spells (SPEC.md, section 5): the decoding half of a tokenizer.

import { need } from "./errors.js";
import { hasKeys, isInteger } from "./strictjson.js";

const MAX_TOKEN_BYTES = 16;
const MAX_TOKENS = 65536;

/** Check the tokenizer of a claim. Returns the bytes of every token, by id. */
export function readVocabulary(tokenizer) {
  if (hasKeys(tokenizer, "kind", "symbols") && tokenizer.get("kind") === "char") {
    return charTokens(tokenizer.get("symbols"));
  }
  const isBpe = hasKeys(tokenizer, "kind", "merges") && tokenizer.get("kind") === "bpe";
  need(isBpe, "tokenizer", "The tokenizer is neither a list of symbols nor one of merges.");
  return bpeTokens(tokenizer.get("merges"));
}

function charTokens(text) {
  need(typeof text === "string", "tokenizer", "The symbols of the tokenizer must be a text.");
  const symbols = [...text]; // by code points
  need(symbols.length <= MAX_TOKENS, "tokenizer", "The tokenizer has too many symbols.");
  need(new Set(symbols).size === symbols.length, "tokenizer", "A symbol of the tokenizer stands twice.");
  const encoder = new TextEncoder();
  return symbols.map((symbol) => encoder.encode(symbol));
}

function bpeTokens(merges) {
  need(Array.isArray(merges), "tokenizer", "The merges of the tokenizer must be a list.");
  need(merges.length <= MAX_TOKENS - 256, "tokenizer", "The tokenizer has too many merges.");
  const tokens = Array.from({ length: 256 }, (_, byte) => Uint8Array.of(byte));
  for (const pair of merges) {
    const earlier = Array.isArray(pair) && pair.length === 2 && pair.every((id) => isInteger(id, 0, tokens.length - 1));
    need(earlier, "tokenizer", `Merge ${tokens.length - 256} does not join two earlier tokens.`);
    const [left, right] = pair.map((id) => tokens[id]);
    const fits = left.length + right.length <= MAX_TOKEN_BYTES;
    need(fits, "tokenizer", `Token ${tokens.length} has more than ${MAX_TOKEN_BYTES} bytes.`);
    tokens.push(joinBytes([left, right]));
  }
  return tokens;
}

/** The bytes of several arrays, one after the other. */
export function joinBytes(parts) {
  const joined = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    joined.set(part, at);
    at += part.length;
  }
  return joined;
}
