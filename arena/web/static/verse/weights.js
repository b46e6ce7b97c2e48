// The weights of a bundle: float16 in the file, and exact in the float32 that products read. Each tensor is decoded when
// it is first used, so a bundle of 21 MB takes 43 MB more, and not 86 MB as float64.

import { sizeOf } from "./config.js";
import { need } from "./errors.js";
import { Products } from "./products.js";

const LARGEST = 0x63d0; // the bits of 1,000 in float16; without the sign, bits are in the order of the numbers

/** The weights of a model, by the names of its tensors. */
export class Weights {
  /** Take the bytes after the header. Throws if a weight is not finite, or beyond 1,000. */
  constructor(shapes, bytes) {
    this.places = new Map();
    this.bytes = bytes;
    this.decoded = new Map();
    this.products = new Products([...shapes.values()]);
    let at = 0;
    for (const [name, shape] of shapes) {
      const size = sizeOf(shape);
      this.places.set(name, [at, size]);
      for (let end = at + 2 * size; at < end; at += 2) {
        const bits = (bytes[at] | (bytes[at + 1] << 8)) & 0x7fff;
        need(bits <= LARGEST, "weights", `${name} holds a weight that is not finite, or beyond 1,000.`);
      }
    }
  }

  has(name) {
    return this.places.has(name);
  }

  /** The numbers of one tensor, row by row. */
  get(name) {
    let numbers = this.decoded.get(name);
    if (numbers === undefined) {
      const [start, size] = this.places.get(name);
      numbers = this.products.newTensor(size);
      for (let i = 0, at = start; i < size; i += 1, at += 2) numbers[i] = FLOAT16[this.bytes[at] | (this.bytes[at + 1] << 8)];
      this.decoded.set(name, numbers);
      if (this.decoded.size === this.places.size) this.bytes = null; // nothing is left to decode
    }
    return numbers;
  }
}

/** Every float16 number, by its 16 bits: sign, exponent of 5 bits, fraction of 10. */
const FLOAT16 = Float32Array.from({ length: 2 ** 16 }, (_, bits) => {
  const exponent = (bits >> 10) & 31, fraction = (bits & 1023) / 1024;
  const size = exponent === 0 ? fraction * 2 ** -14 : exponent === 31 ? (fraction ? NaN : Infinity) : (1 + fraction) * 2 ** (exponent - 15);
  return bits >> 15 ? -size : size;
});
