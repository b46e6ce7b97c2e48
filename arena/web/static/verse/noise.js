// The random numbers of a verse (SPEC.md, section 3): integers from SHA-256, the same on every machine.

import { digestOfBlock } from "./sha256.js";

// "verse-noise-1" and zeros up to 16 bytes, then seed, position and block of ids; a bit, zeros, and 28 bytes in bits.
const message = new Uint32Array(16);
message.set([0x76657273, 0x652d6e6f, 0x6973652d, 0x31000000, 0, 0, 0, 0x80000000]);
message[15] = 8 * 28;

/** The words of the digest that serves the token ids 4 * block .. 4 * block + 3. */
function noiseWords(seed, position, block) {
  message[4] = seed;
  message[5] = position;
  message[6] = block;
  return digestOfBlock(message);
}

/** The integer n of one token: the upper 52 bits of one of the four 64-bit words of the digest. */
export function noiseInteger(seed, position, id) {
  const words = noiseWords(seed, position, Math.floor(id / 4));
  return upperBits(words, id % 4);
}

function upperBits(words, index) {
  return words[2 * index] * 2 ** 20 + (words[2 * index + 1] >>> 12); // below 2^52: exact
}

/** Standard Gumbel noise. The token with the largest z + T * g is a sample of softmax(z / T): the Gumbel-max trick. */
export function gumbel(n) {
  const u = (2 * n + 1) / 2 ** 53; // exact, and never 0 or 1
  return -Math.log(-Math.log(u));
}

/** The noise of every token id: `size` numbers. */
export function gumbelAll(seed, position, size) {
  const g = new Float64Array(size);
  for (let id = 0; id < size; id += 4) {
    const words = noiseWords(seed, position, id / 4);
    for (let j = id; j < Math.min(id + 4, size); j += 1) g[j] = gumbel(upperBits(words, j - id));
  }
  return g;
}
