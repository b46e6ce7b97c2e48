// What each token spells (SPEC.md, section 5): the decoding half of a tokenizer.

import { need } from "./errors.js";
import { hasKeys, isInteger } from "./strictjson.js";

const MAX_TOKEN_CHARACTERS = 16; // code points: an emoji is one, though JavaScript counts two
const MIN_SYMBOLS = 2;
const MAX_TOKENS = 65536;

/** Check the tokenizer of a claim. Returns the text of every token, by id. */
export function readVocabulary(tokenizer) {
  const isChar = hasKeys(tokenizer, "kind", "symbols") && tokenizer.get("kind") === "char";
  const isBpe = hasKeys(tokenizer, "kind", "symbols", "merges") && tokenizer.get("kind") === "bpe";
  need(isChar || isBpe, "tokenizer", "The tokenizer is neither a list of symbols nor one of symbols and merges.");
  const tokens = readSymbols(tokenizer.get("symbols"));
  if (isBpe) addMerges(tokens, tokenizer.get("merges"));
  return tokens;
}

function readSymbols(text) {
  need(typeof text === "string", "tokenizer", "The symbols of the tokenizer must be a text.");
  const symbols = [...text]; // by code points
  need(symbols.length >= MIN_SYMBOLS, "tokenizer", `The tokenizer has fewer than ${MIN_SYMBOLS} symbols.`);
  need(symbols.length <= MAX_TOKENS, "tokenizer", "The tokenizer has too many symbols.");
  need(new Set(symbols).size === symbols.length, "tokenizer", "A symbol of the tokenizer stands twice.");
  return symbols;
}

function addMerges(tokens, merges) {
  need(Array.isArray(merges), "tokenizer", "The merges of the tokenizer must be a list.");
  need(tokens.length + merges.length <= MAX_TOKENS, "tokenizer", "The tokenizer has too many merges.");
  for (const [index, pair] of merges.entries()) {
    const earlier = Array.isArray(pair) && pair.length === 2 && pair.every((id) => isInteger(id, 0, tokens.length - 1));
    need(earlier, "tokenizer", `Merge ${index} does not join two earlier tokens.`);
    const token = tokens[pair[0]] + tokens[pair[1]];
    const fits = [...token].length <= MAX_TOKEN_CHARACTERS;
    need(fits, "tokenizer", `Token ${tokens.length} has more than ${MAX_TOKEN_CHARACTERS} characters.`);
    tokens.push(token);
  }
}
