// What it costs to write a verse and to check it, computed from its claim, and measured on this device.

import { Products } from "./products.js";
import { COPIES } from "./rounding.js";

const WIDTH = 256; // of the matrix that is multiplied to measure
const SLICES = 5, SLICE_SECONDS = 0.006; // of measuring; the fastest counts, since other programs may run meanwhile

/** Multiplications of a claim, and bytes of memory. */
export function costOf(claim) {
  const { n_layer: L, n_embd: C, vocab_size: V, block_size, nParams } = claim.config;
  const prompt = claim.recipe.prompt_ids.length, positions = prompt + claim.ids.length;
  const attention = 2 * C * L * Math.min(positions, block_size);
  const once = positions * (12 * L * C * C + attention) + claim.ids.length * V * C;
  const kept = 8 * 2 * L * C * (COPIES + 1) * Math.min(positions, block_size + 32);
  return { products: (1 + COPIES) * once, bytes: claim.bytes + 4 * nParams + kept };
}

/** Seconds of one multiplication on this device now. */
export function secondsOfProduct(clock = () => performance.now() / 1000) {
  const products = new Products([[WIDTH, WIDTH]]);
  const x = new Float64Array(WIDTH).fill(0.5), w = products.newTensor(WIDTH * WIDTH).fill(0.5), y = new Float64Array(WIDTH);
  const run = () => products.multiply(x, w, y, 1, WIDTH, WIDTH);
  for (let i = 0; i < 20; i += 1) run(); // until it is compiled
  let best = Infinity;
  for (let slice = 0; slice < SLICES; slice += 1) {
    const start = clock();
    let count = 0, seconds = 0;
    while (seconds < SLICE_SECONDS) {
      run();
      count += 1;
      seconds = clock() - start;
    }
    best = Math.min(best, seconds / count);
  }
  return best / (WIDTH * WIDTH);
}
