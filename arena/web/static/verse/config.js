// The shape of a model (SPEC.md, section 1): its six values, their bounds, and the tensors that follow from them.

import { need } from "./errors.js";
import { hasKeys, isInteger } from "./strictjson.js";

const KEYS = ["arch", "n_layer", "n_head", "n_embd", "block_size", "vocab_size"];
const HEAD_WIDTHS = [8, 16, 32, 64, 128];
const MAX_WEIGHT_BYTES = 190 * 2 ** 20;
const PREVIOUS_VOCAB_SIZE = 512; // larger vocabularies have no embeddings of the tokens before

/** Check the config of a claim, and add what follows from it: headWidth, nPrevious, shapes and nParams. */
export function readConfig(value) {
  const known = hasKeys(value, ...KEYS);
  need(known, "config", "The config must have exactly these keys: " + KEYS.join(", ") + ".");
  const config = Object.fromEntries(KEYS.map((key) => [key, value.get(key)]));
  const { arch, n_layer, n_head, n_embd, block_size, vocab_size } = config;
  const inBounds = (arch === "modern" || arch === "gpt2") && isInteger(n_layer, 1, 64) && isInteger(n_head, 1, 512)
    && isInteger(n_embd, 8, 4096) && isInteger(block_size, 1, 1024) && isInteger(vocab_size, 2, 65536);
  need(inBounds, "config", "A value of the config is out of bounds.");
  need(HEAD_WIDTHS.includes(n_embd / n_head), "config", "The width of a head must be 8, 16, 32, 64 or 128.");
  return withShapes(config);
}

export function withShapes(config) {
  const headWidth = config.n_embd / config.n_head;
  const nPrevious = config.arch === "modern" && config.vocab_size <= PREVIOUS_VOCAB_SIZE ? 3 : 0;
  const shapes = tensorShapes({ ...config, headWidth, nPrevious });
  let nParams = 0;
  for (const shape of shapes.values()) nParams += sizeOf(shape);
  need(2 * nParams <= MAX_WEIGHT_BYTES, "config", `A model of ${nParams} weights is larger than a bundle may be.`);
  return Object.freeze({ ...config, headWidth, nPrevious, shapes, nParams });
}

/** The number of weights of a tensor. */
export function sizeOf(shape) {
  return shape.reduce((product, size) => product * size, 1);
}

/** Name and shape of every tensor, in the order of the names. */
function tensorShapes({ arch, n_layer, n_embd: C, block_size, vocab_size: V, headWidth: D, nPrevious }) {
  const gpt2 = arch === "gpt2";
  const shapes = { "wte.weight": [V, C], "ln_f.weight": [C] };
  const matrices = { "attn.c_attn": [3 * C, C], "attn.c_proj": [C, C], "mlp.c_fc": [4 * C, C], "mlp.c_proj": [C, 4 * C] };
  for (let j = 1; j <= nPrevious; j += 1) shapes[`previous.${j}.weight`] = [V, C];
  if (gpt2) Object.assign(shapes, { "wpe.weight": [block_size, C], "ln_f.bias": [C] });
  else shapes["lm_head.weight"] = [V, C];
  for (let i = 0; i < n_layer; i += 1) {
    for (const [name, shape] of Object.entries(matrices)) {
      shapes[`h.${i}.${name}.weight`] = shape;
      if (gpt2) shapes[`h.${i}.${name}.bias`] = [shape[0]];
    }
    for (const name of ["ln_1", "ln_2"]) {
      shapes[`h.${i}.${name}.weight`] = [C];
      if (gpt2) shapes[`h.${i}.${name}.bias`] = [C];
    }
    if (!gpt2) for (const name of ["q_norm", "k_norm"]) shapes[`h.${i}.attn.${name}.weight`] = [D];
  }
  return new Map(Object.keys(shapes).sort().map((name) => [name, shapes[name]])); // ASCII: by code points
}
