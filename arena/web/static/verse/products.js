// Matrix products, where nearly all of the time goes: in WebAssembly where the browser has it, else in JavaScript. The
// order of summation may be any (SPEC.md asks for the real numbers).

import { sizeOf } from "./config.js";
import { MOST_ROWS, newKernels, OUTPUTS } from "./webassembly.js";

/** Room for the weights of a model, and the products with them. */
export class Products {
  /** shapes: those of all tensors. */
  constructor(shapes) {
    const widest = Math.max(...shapes.flat());
    const inputs = MOST_ROWS * widest, outputs = MOST_ROWS * (widest + OUTPUTS); // float64; the last block may be cut
    const weights = shapes.reduce((sum, shape) => sum + sizeOf(shape), 0) + OUTPUTS * widest; // float32, as above
    const bytes = 8 * (inputs + outputs) + 4 * weights;
    this.kernels = newKernels(bytes);
    this.buffer = this.kernels?.buffer ?? new ArrayBuffer(bytes);
    this.x = new Float64Array(this.buffer, 0, inputs);
    this.y = new Float64Array(this.buffer, 8 * inputs, outputs);
    this.free = 8 * (inputs + outputs); // where the next tensor comes to lie
  }

  /** An array for the next tensor, which `multiply` can take. */
  newTensor(size) {
    const tensor = new Float32Array(this.buffer, this.free, size);
    this.free += 4 * size;
    return tensor;
  }

  /**
   * y = x Wᵀ.
   *
   * x: rows of nIn numbers, an even number. w: nOut rows of nIn numbers, made by `newTensor`. y: rows of nOut numbers, written.
   */
  multiply(x, w, y, rows, nIn, nOut) {
    if (this.kernels === null) {
      for (let row = 0; row < rows; row += 1) dots(x, row * nIn, w, 0, nIn, nOut, nIn, y, row * nOut);
      return;
    }
    const blocks = Math.ceil(nOut / OUTPUTS), width = blocks * OUTPUTS;
    for (let row = 0, count = 0; row < rows; row += count) {
      count = row + MOST_ROWS <= rows ? MOST_ROWS : 1;
      this.x.set(x.subarray(row * nIn, (row + count) * nIn));
      this.kernels.multiply[count](this.x.byteOffset, w.byteOffset, this.y.byteOffset, nIn, width, blocks);
      for (let r = 0; r < count; r += 1) y.set(this.y.subarray(r * width, r * width + nOut), (row + r) * nOut);
    }
  }
}

/** The sum of n products, of numbers from a[i] and b[j] on. */
export function dot(a, i, b, j, n) {
  let s = 0, t = 0, d = 0;
  for (; d + 1 < n; d += 2) {
    s += a[i + d] * b[j + d];
    t += a[i + d + 1] * b[j + d + 1];
  }
  return d < n ? s + t + a[i + d] * b[j + d] : s + t;
}

/** The products of the vector at a[i] with `count` rows of n numbers, which begin at b[j] and every `step`, into y[to]. */
export function dots(a, i, b, j, step, count, n, y, to) {
  let row = 0;
  for (; row + 4 <= count; row += 4, j += 4 * step) {
    const j1 = j + step, j2 = j1 + step, j3 = j2 + step;
    let s0 = 0, s1 = 0, s2 = 0, s3 = 0;
    for (let d = 0; d < n; d += 1) {
      const v = a[i + d];
      s0 += v * b[j + d]; s1 += v * b[j1 + d]; s2 += v * b[j2 + d]; s3 += v * b[j3 + d];
    }
    y[to + row] = s0; y[to + row + 1] = s1; y[to + row + 2] = s2; y[to + row + 3] = s3;
  }
  for (; row < count; row += 1, j += step) y[to + row] = dot(a, i, b, j, n);
}

/** Add to y[to], ... the rows at b[j] and every `step`, n numbers each, times the `count` numbers from a[i] on. */
export function sumRows(a, i, b, j, step, count, n, y, to) {
  let row = 0;
  for (; row + 4 <= count; row += 4, j += 4 * step) {
    const a0 = a[i + row], a1 = a[i + row + 1], a2 = a[i + row + 2], a3 = a[i + row + 3];
    const j1 = j + step, j2 = j1 + step, j3 = j2 + step;
    for (let d = 0; d < n; d += 1) y[to + d] += (a0 * b[j + d] + a1 * b[j1 + d]) + (a2 * b[j2 + d] + a3 * b[j3 + d]);
  }
  for (; row < count; row += 1, j += step) for (let d = 0; d < n; d += 1) y[to + d] += a[i + row] * b[j + d];
}
