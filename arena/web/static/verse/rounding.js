// An estimate of what rounding does to the logits (SPEC.md, section 6), from the computation itself.
//
// The text is computed three times at once: as it is, and with every result moved, once up and once down, by more than
// any order of summation moves it. What the logits move by is the estimate. The moves are random, by a seed that no
// author of a bundle can know.

import { VerseModel } from "./model.js";
import { dot } from "./products.js";

export const COPIES = 3; // as it is, moved up, moved down
const MOVE = 2 ** -38; // of the largest that a result could be
const VISIBLE = 1e-3; // a move of a normed vector, whose numbers are about 1, that makes the estimate infinite
const GELU_END = 8; // below -8, 1 + tanh is 0 in float64, and no error is left

/** A model of three copies of one text. */
export class MovedModel extends VerseModel {
  constructor(config, weights, seed = crypto.getRandomValues(new Uint32Array(4))) {
    super(config, weights, COPIES);
    this.random = randomFrom(seed);
    this.rowNorms = new Map(); // by the name of a matrix
    this.moves = []; // of the last call of `hidden`: the largest of a normed vector, by position
  }

  hidden(ids, cache) {
    this.moves = new Array(ids.length).fill(0);
    return super.hidden(ids, cache);
  }

  /** The largest difference of a logit of one position between copies; z holds the three, one after the other. */
  estimate(z) {
    const V = this.config.vocab_size;
    let most = 0;
    for (let i = 0; i < V; i += 1) most = Math.max(most, Math.abs(z[V + i] - z[i]), Math.abs(z[2 * V + i] - z[i]));
    return most;
  }

  /** Move the copies of y, in opposite directions; y has n numbers in a row, and `size` is of number i of row r. */
  move(y, n, size) {
    for (let row = 0; row * COPIES * n < y.length; row += 1) {
      const at = row * COPIES * n;
      for (let i = 0; i < n; i += 1) this.moveOne(y, at + i, n, size(row, i));
    }
    return y;
  }

  /** Move one number of the second and third copy, which stand `step` and 2 * `step` after the first one's. */
  moveOne(y, at, step, size) {
    const u = this.random() - 0.5;
    const move = MOVE * (u + (u < 0 ? -0.5 : 0.5)) * size; // a random sign, and 1/2 to 1
    y[at + step] += move;
    y[at + 2 * step] -= move;
  }

  add(x, y) {
    const C = this.config.n_embd;
    super.add(x, y);
    return this.move(x, C, (row, i) => Math.abs(x[row * COPIES * C + i]));
  }

  activate(x) {
    const y = super.activate(x), n = 4 * this.config.n_embd;
    if (this.config.arch === "modern") return y; // a relative error: the product that follows is moved by more
    return this.move(y, n, (row, i) => Math.min(Math.abs(x[row * COPIES * n + i]), GELU_END));
  }

  scores(queries, q, keys, k, step, count) {
    const D = this.config.headWidth;
    const scores = super.scores(queries, q, keys, k, step, count);
    const length = Math.sqrt(dot(queries, q, queries, q, D));
    return this.move(scores, count, (_, j) => length * Math.sqrt(dot(keys, k + j * step, keys, k + j * step, D)));
  }

  weightedSum(scores, values, v, step, count, y, to) {
    const { headWidth: D, n_embd: C } = this.config;
    super.weightedSum(scores, values, v, step, count, y, to);
    const sizes = this.results("sizes", D), last = count - 1;
    for (let j = 0; j < count; j += 2) { // two at once, the last one perhaps with nothing
      const a = scores[j], b = j < last ? scores[j + 1] : 0;
      const at = v + j * step, next = j < last ? at + step : at;
      for (let d = 0; d < D; d += 1) sizes[d] += a * Math.abs(values[at + d]) + b * Math.abs(values[next + d]);
    }
    for (let d = 0; d < D; d += 1) this.moveOne(y, to + d, C, sizes[d]);
  }

  linear(x, name, nIn, nOut) {
    const y = super.linear(x, name, nIn, nOut);
    const bias = this.biasOf(name);
    const weight = this.weights.get(name + ".weight");
    if (!this.rowNorms.has(name)) this.rowNorms.set(name, norms(weight, nIn, 1));
    const ofRows = this.rowNorms.get(name), ofInputs = norms(x, nIn, COPIES);
    return this.move(y, nOut, (row, o) => ofInputs[row] * ofRows[o] + (bias ? Math.abs(bias[o]) : 0));
  }

  norm(x, name, n) {
    const y = super.norm(x, name, n), bias = this.biasOf(name);
    if (!bias) return y;
    return this.move(y, n, (row, i) => Math.abs(y[row * COPIES * n + i]) + Math.abs(bias[i]));
  }

  means(x, n) {
    const means = super.means(x, n);
    return this.move(means, 1, (row) => {
      let sum = 0;
      for (let i = row * COPIES * n; i < (row * COPIES + 1) * n; i += 1) sum += Math.abs(x[i]);
      return sum / n;
    });
  }

  normalize(x, n) {
    const y = super.normalize(x, n), C = this.config.n_embd;
    for (let position = 0, at = 0; at < y.length; position += 1, at += COPIES * C) {
      for (let i = at; i < at + C; i += 1) {
        const move = Math.max(Math.abs(y[i + C] - y[i]), Math.abs(y[i + 2 * C] - y[i]));
        if (move > this.moves[position]) this.moves[position] = move;
      }
    }
    return y;
  }

  rotate(x, start, kind) {
    const { n_embd: C, headWidth: D } = this.config;
    const y = super.rotate(x, start, kind), half = D / 2;
    return this.move(y, C, (row, i) => {
      const first = row * COPIES * C + i - (i % D) + (i % half); // of the pair that was rotated
      return Math.abs(x[first]) + Math.abs(x[first + half]);
    });
  }
}

/** Whether a normed vector has moved so far that what follows may agree by chance. */
export function isVisible(move) {
  return move > VISIBLE;
}

/** Euclidean norms of each `every`-th row of n numbers. */
function norms(x, n, every) {
  const found = new Float64Array(x.length / (n * every));
  for (let row = 0; row < found.length; row += 1) found[row] = Math.sqrt(dot(x, row * every * n, x, row * every * n, n));
  return found;
}

/** Random numbers in 0..1 from a seed of four words (sfc32 of PractRand). */
function randomFrom([a, b, c, d]) {
  const next = () => {
    const t = (((a + b) | 0) + d) | 0;
    d = (d + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (c << 21) | (c >>> 11);
    c = (c + t) | 0;
    return (t >>> 0) / 2 ** 32;
  };
  for (let i = 0; i < 12; i += 1) next();
  return next;
}
