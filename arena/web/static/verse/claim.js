// The header of a bundle (SPEC.md, section 7, rules 2 to 12): everything that its author claims, without the weights.

import { readConfig, sizeOf } from "./config.js";
import { BundleError, need } from "./errors.js";
import { sha256Hex } from "./sha256.js";
import { decodeUtf8, hasKeys, isInteger, numberOf, parseJson } from "./strictjson.js";
import { decode, hideForbidden, lengthOf, verseText } from "./text.js";
import { readVocabulary } from "./vocabulary.js";

const LENGTH_BYTES = 8; // the first ones of a file: the length of its header
const MAX_HEADER_BYTES = 2 ** 20;
const MAX_CURVE_POINTS = 200;
const CLAIM_KEYS = ["format", "config", "tokenizer", "recipe", "verse", "certificate", "provenance", "tensors_sha256"];
const CERTIFICATE_KEYS = ["smallest_gap", "position", "tokens", "ids_sha256", "engine"];
const RECIPE_BOUNDS = {
  temperature: [0, 200], top_k: [0, 65536], seed: [0, 2 ** 32 - 1], tokens: [1, 1024], lines: [0, 64],
};

/** The number of bytes before the tensors, from the first eight of a file. */
export function headerBytes(start) {
  need(start.length >= LENGTH_BYTES, "too-short", "This is not a bundle: it has fewer than eight bytes.");
  const length = new DataView(start.buffer, start.byteOffset).getBigUint64(0, true);
  const inBounds = length >= 2n && length <= BigInt(MAX_HEADER_BYTES);
  need(inBounds, "header-length", "This is not a bundle: its first eight bytes announce no header.");
  return LENGTH_BYTES + Number(length);
}

/** Check a whole header: the bytes up to the first tensor. Returns the claim. */
export function readClaim(header) {
  const size = headerBytes(header);
  need(header.length >= size, "truncated", "The file is cut off within its header.");
  const entries = strict("header-json", "The header", () => decodeUtf8(header.subarray(LENGTH_BYTES, size)));
  const metadata = entries instanceof Map ? entries.get("__metadata__") : undefined;
  const hasClaim = hasKeys(metadata, "verse") && typeof metadata.get("verse") === "string";
  need(hasClaim, "no-claim", "The header has no claim.");
  entries.delete("__metadata__");
  const claim = strict("claim-json", "The claim", () => metadata.get("verse"));
  need(claim instanceof Map, "claim-json", "The claim is not a JSON object.");
  need(claim.get("format") === 1, "format", "This bundle has another format than 1, which this page can read.");
  need(hasKeys(claim, ...CLAIM_KEYS), "claim-keys", "The claim must have exactly these keys: " + CLAIM_KEYS.join(", ") + ".");

  const config = readConfig(claim.get("config"));
  checkTensors(config, entries);
  const vocabulary = readVocabulary(claim.get("tokenizer"));
  need(vocabulary.length === config.vocab_size, "tokenizer", "The tokenizer and the model have different numbers of tokens.");
  const recipe = readRecipe(claim.get("recipe"), config);
  const { ids, text } = readVerse(claim.get("verse"), vocabulary, recipe);
  const certificate = readCertificate(claim.get("certificate"), ids);
  checkProvenance(claim.get("provenance"));
  const digest = claim.get("tensors_sha256");
  need(typeof digest === "string" && /^[0-9a-f]{64}$/.test(digest), "digest", "tensors_sha256 must be 64 hexadecimal digits.");
  const prompt = hideForbidden(decode(vocabulary, recipe.prompt_ids));
  return { config, vocabulary, recipe, ids, text, prompt, certificate, digest, headerBytes: size, bytes: size + 2 * config.nParams };
}

function strict(code, what, textOf) {
  try {
    return parseJson(textOf());
  } catch (error) {
    throw new BundleError(code, `${what} is not strict JSON: ${error.message}.`);
  }
}

/** Refuse other tensors than those of the config, in float16, in the order of their names, without gaps. */
function checkTensors(config, entries) {
  const same = entries.size === config.shapes.size && [...config.shapes.keys()].every((name) => entries.has(name));
  need(same, "tensor-names", "The bundle's tensors are not those of its config.");
  const equal = (list, wanted) => Array.isArray(list) && list.length === wanted.length && wanted.every((n, i) => list[i] === n);
  let offset = 0;
  for (const [name, shape] of config.shapes) {
    const entry = entries.get(name);
    need(hasKeys(entry, "dtype", "shape", "data_offsets"), "tensor-entry", `The entry of ${name} has other keys.`);
    need(entry.get("dtype") === "F16", "tensor-dtype", `${name} is not stored as F16.`);
    need(equal(entry.get("shape"), shape), "tensor-shape", `${name} must have the shape ${shape.join(" x ")}.`);
    const end = offset + 2 * sizeOf(shape);
    need(equal(entry.get("data_offsets"), [offset, end]), "tensor-layout", `${name} must lie at the bytes ${offset} to ${end}.`);
    offset = end;
  }
}

function readRecipe(value, config) {
  need(hasKeys(value, "prompt_ids", ...Object.keys(RECIPE_BOUNDS)), "recipe", "The recipe has other keys.");
  const recipe = Object.fromEntries(value);
  const { prompt_ids: prompt } = recipe;
  const isPrompt = Array.isArray(prompt) && prompt.length >= 1 && prompt.length <= 1024
    && prompt.every((id) => isInteger(id, 0, config.vocab_size - 1));
  need(isPrompt, "recipe", "The prompt must be 1 to 1,024 tokens that the model knows.");
  for (const [name, [low, high]] of Object.entries(RECIPE_BOUNDS)) {
    need(isInteger(recipe[name], low, high), "recipe", `${name} must be a whole number from ${low} to ${high}.`);
  }
  need(recipe.top_k <= config.vocab_size, "recipe", "top_k is larger than the vocabulary.");
  const fits = config.arch !== "gpt2" || prompt.length + recipe.tokens <= config.block_size;
  need(fits, "recipe", "A gpt2 model has too few positions for this prompt and verse.");
  return Object.freeze(recipe);
}

function readVerse(value, vocabulary, recipe) {
  need(hasKeys(value, "ids", "text") && Array.isArray(value.get("ids")), "verse", "The verse must have ids and text.");
  const ids = value.get("ids");
  need(ids.every((id) => isInteger(id, 0, vocabulary.length - 1)), "verse", "The verse has tokens that the model does not know.");
  need(lengthOf(vocabulary, recipe, ids) === ids.length, "verse-length", "The verse does not end where its recipe says.");
  const text = verseText(vocabulary, recipe, ids);
  need(text !== null, "not-text", "The verse holds a control character, so it is not text.");
  need(value.get("text") === text, "text", "The text shown is not what the verse's tokens spell.");
  return { ids, text };
}

function readCertificate(value, ids) {
  need(hasKeys(value, ...CERTIFICATE_KEYS), "certificate", "The certificate has other keys.");
  const gap = numberOf(value.get("smallest_gap"));
  need(gap !== undefined && gap >= 0, "certificate", "The certificate's gap must be a number, 0 or more.");
  const aboutThese = value.get("tokens") === ids.length && isInteger(value.get("position"), 0, ids.length - 1)
    && value.get("ids_sha256") === idsDigest(ids);
  need(aboutThese, "certificate", "The certificate is about other tokens than the verse has.");
  need(value.get("engine") === "verse-1", "certificate", "The certificate is of another engine than verse-1.");
  return { smallestGap: gap, position: value.get("position") };
}

/** SHA-256, in hexadecimal, of token ids as unsigned 32-bit big-endian numbers. */
export function idsDigest(ids) {
  const view = new DataView(new ArrayBuffer(4 * ids.length));
  ids.forEach((id, index) => view.setUint32(4 * index, id));
  return sha256Hex(new Uint8Array(view.buffer));
}

function checkProvenance(value) {
  need(value instanceof Map, "provenance", "The provenance must be a JSON object.");
  const curve = value.has("loss_curve") ? value.get("loss_curve") : [];
  need(Array.isArray(curve) && curve.length <= MAX_CURVE_POINTS, "provenance", "loss_curve must be a list of at most 200 points.");
}
