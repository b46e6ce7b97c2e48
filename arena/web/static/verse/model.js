// The forward pass that defines a verse (SPEC.md, section 1): both architectures, in float64, with a cache.
//
// All numbers of one pass lie in one array, row by row: a row is one position of one copy of the text, position by
// position. This model has one copy; `rounding.js` computes three. Each operation that rounds is a method of its own, so
// that they can move its result.

import { dot, dots, sumRows } from "./products.js";
import { rotationAt } from "./rotary.js";

const EPSILON = 1e-6; // inside every norm's square root
const SOFT_CAP = 15; // modern: logits stay in -15..15
export const CHUNK = 32; // positions of one pass, at most

/** Keys and values of the last positions: those that the next ones can attend to. */
export class Cache {
  constructor(config, copies, positions) {
    this.width = copies * config.n_embd; // numbers of one position
    this.reach = config.block_size - 1; // positions before one that it attends to
    const capacity = Math.min(positions, this.reach + CHUNK) * this.width;
    this.keys = Array.from({ length: config.n_layer }, () => new Float64Array(capacity));
    this.values = this.keys.map(() => new Float64Array(capacity));
    this.ids = []; // tokens of all positions so far
    this.first = 0; // the position that stands at the beginning of `keys` and `values`
  }

  /** Make room for more positions, where there is none: drop those that none of them can attend to. */
  makeRoom(count) {
    const start = this.ids.length;
    if ((start + count - this.first) * this.width <= this.keys[0].length) return;
    const first = Math.max(this.first, start - this.reach);
    for (const kept of [...this.keys, ...this.values]) kept.copyWithin(0, (first - this.first) * this.width);
    this.first = first;
  }
}

export class VerseModel {
  /** config: as `readConfig` returns it. weights: by name, with `get` and `has`, and their `products`. */
  constructor(config, weights, copies = 1) {
    this.config = config;
    this.weights = weights;
    this.copies = copies;
    this.rotations = []; // by position
    this.kept = new Map(); // arrays for results, by what they hold
  }

  /** An array for results of one kind, filled with zeros. The next result of this kind, in the next layer, takes its place. */
  results(kind, size) {
    if (!(this.kept.get(kind)?.length >= size)) this.kept.set(kind, new Float64Array(size));
    return this.kept.get(kind).subarray(0, size).fill(0);
  }

  newCache(positions) {
    return new Cache(this.config, this.copies, positions);
  }

  /** Run more tokens through the blocks, at most CHUNK: rows of n_embd numbers after the last norm. */
  hidden(ids, cache) {
    const { n_layer, n_embd: C } = this.config;
    const start = cache.ids.length;
    cache.makeRoom(ids.length);
    cache.ids.push(...ids);
    let x = this.embed(start, cache.ids);
    for (let layer = 0; layer < n_layer; layer += 1) {
      const h = `h.${layer}.`;
      x = this.add(x, this.attention(this.norm(x, h + "ln_1", C), layer, start, cache));
      const up = this.linear(this.norm(x, h + "ln_2", C), h + "mlp.c_fc", C, 4 * C);
      x = this.add(x, this.linear(this.activate(up), h + "mlp.c_proj", 4 * C, C));
    }
    return this.norm(x, "ln_f", C);
  }

  /** Logits of rows after the last norm: rows of vocab_size numbers. */
  logits(hidden) {
    const { arch, n_embd: C, vocab_size: V } = this.config;
    if (arch === "gpt2") return this.linear(hidden, "wte", C, V).slice(); // a decision keeps its logits
    const z = this.linear(hidden, "lm_head", C, V).slice();
    for (let i = 0; i < z.length; i += 1) z[i] = SOFT_CAP * Math.tanh(z[i] / SOFT_CAP);
    return z;
  }

  /** Embeddings of the tokens from `start` on, with those of the tokens before each, or of its position. */
  embed(start, ids) {
    const { arch, n_embd: C, nPrevious } = this.config;
    const x = this.results("x", (ids.length - start) * this.copies * C);
    const addRow = (position, name, index) => {
      const table = this.weights.get(name);
      const from = (position - start) * this.copies * C;
      for (let at = from; at < from + this.copies * C; at += C) for (let i = 0; i < C; i += 1) x[at + i] += table[index * C + i];
    };
    for (let position = start; position < ids.length; position += 1) {
      addRow(position, "wte.weight", ids[position]);
      for (let j = 1; j <= Math.min(nPrevious, position); j += 1) addRow(position, `previous.${j}.weight`, ids[position - j]);
      if (arch === "gpt2") addRow(position, "wpe.weight", position);
    }
    return x;
  }

  /** Let every position attend to itself and the block_size - 1 before it. */
  attention(x, layer, start, cache) {
    const { arch, n_head: H, headWidth: D, n_embd: C } = this.config;
    const h = `h.${layer}.attn.`;
    const qkv = this.linear(x, h + "c_attn", C, 3 * C);
    let [q, k, v] = ["q", "k", "v"].map((kind, part) => this.columns(qkv, 3 * C, part * C, C, kind));
    if (arch === "modern") {
      q = this.rotate(this.norm(q, h + "q_norm", D), start, "rotated q");
      k = this.rotate(this.norm(k, h + "k_norm", D), start, "rotated k");
    }
    const keys = cache.keys[layer], values = cache.values[layer];
    keys.set(k, (start - cache.first) * cache.width);
    values.set(v, (start - cache.first) * cache.width);

    const y = this.results("attended", x.length);
    const scale = 1 / Math.sqrt(D);
    for (let i = 0; i < q.length; i += 1) q[i] *= scale;
    for (let position = start; position < cache.ids.length; position += 1) {
      const row = (position - start) * cache.width; // of the first copy
      const from = Math.max(0, position - cache.reach) - cache.first; // the first position that it attends to
      const count = position - cache.first - from + 1;
      for (let head = 0; head < H; head += 1) {
        const scores = this.scores(q, row + head * D, keys, from * cache.width + head * D, cache.width, count);
        for (let copy = 0; copy < this.copies; copy += 1) softmax(scores, copy * count, count);
        this.weightedSum(scores, values, from * cache.width + head * D, cache.width, count, y, row + head * D);
      }
    }
    return this.linear(y, h + "c_proj", C, C);
  }

  add(x, y) {
    for (let i = 0; i < x.length; i += 1) x[i] += y[i];
    return x;
  }

  activate(x) {
    const y = this.results("activated", x.length);
    const act = this.config.arch === "gpt2" ? gelu : squaredRelu;
    for (let i = 0; i < x.length; i += 1) y[i] = act(x[i]);
    return y;
  }

  /** Products of a query with `count` keys, copy by copy. `q` and `k` say where those of the first copy begin. */
  scores(queries, q, keys, k, step, count) {
    const { headWidth: D, n_embd: C } = this.config;
    const scores = this.results("scores", this.copies * count);
    for (let copy = 0; copy < this.copies; copy += 1) {
      dots(queries, q + copy * C, keys, k + copy * C, step, count, D, scores, copy * count);
    }
    return scores;
  }

  /** Sums of `count` values, weighted by the scores, copy by copy, into `y` from `to` on. */
  weightedSum(scores, values, v, step, count, y, to) {
    const { headWidth: D, n_embd: C } = this.config;
    for (let copy = 0; copy < this.copies; copy += 1) {
      sumRows(scores, copy * count, values, v + copy * C, step, count, D, y, to + copy * C);
    }
  }

  /** x Wᵀ (+ b). */
  linear(x, name, nIn, nOut) {
    const rows = x.length / nIn;
    const y = this.results(kindOf(name), rows * nOut);
    this.weights.products.multiply(x, this.weights.get(name + ".weight"), y, rows, nIn, nOut);
    const bias = this.biasOf(name);
    if (bias) for (let at = 0; at < y.length; at += nOut) for (let o = 0; o < nOut; o += 1) y[at + o] += bias[o];
    return y;
  }

  /** LayerNorm over n numbers if there is a bias (gpt2), RMSNorm if there is none (modern). */
  norm(x, name, n) {
    const gain = this.weights.get(name + ".weight"), bias = this.biasOf(name);
    const y = this.normalize(bias ? this.center(x, n) : x, n);
    for (let at = 0; at < y.length; at += n) for (let i = 0; i < n; i += 1) y[at + i] *= gain[i];
    if (bias) for (let at = 0; at < y.length; at += n) for (let i = 0; i < n; i += 1) y[at + i] += bias[i];
    return y;
  }

  biasOf(name) {
    return this.weights.has(name + ".bias") ? this.weights.get(name + ".bias") : null;
  }

  /** x less its mean over each n numbers. */
  center(x, n) {
    const means = this.means(x, n), y = this.results("centered", x.length);
    for (let row = 0; row < means.length; row += 1) for (let i = row * n; i < (row + 1) * n; i += 1) y[i] = x[i] - means[row];
    return y;
  }

  means(x, n) {
    const means = this.results("means", x.length / n);
    for (let row = 0; row < means.length; row += 1) {
      for (let i = row * n; i < (row + 1) * n; i += 1) means[row] += x[i];
      means[row] /= n;
    }
    return means;
  }

  /** Each n numbers divided by their root mean square. */
  normalize(x, n) {
    const y = this.results("normed", x.length);
    for (let at = 0; at < x.length; at += n) {
      const root = Math.sqrt(dot(x, at, x, at, n) / n + EPSILON);
      for (let i = at; i < at + n; i += 1) y[i] = x[i] / root;
    }
    return y;
  }

  /** Some columns of a matrix with rows of n numbers. */
  columns(x, n, from, count, kind) {
    const part = this.results(kind, x.length / n * count);
    for (let row = 0; row * n < x.length; row += 1) part.set(x.subarray(row * n + from, row * n + from + count), row * count);
    return part;
  }

  /** Rotate the halves of every head: (x1, x2) becomes (x1 cos - x2 sin, x2 cos + x1 sin). */
  rotate(x, start, kind) {
    const { n_embd: C, headWidth: D } = this.config;
    const half = D / 2, y = this.results(kind, x.length);
    for (let at = 0; at < x.length; at += D) {
      const position = start + Math.floor(at / (this.copies * C));
      const { cos, sin } = (this.rotations[position] ??= rotationAt(position, D));
      for (let i = 0; i < half; i += 1) {
        const x1 = x[at + i], x2 = x[at + half + i];
        y[at + i] = x1 * cos[i] - x2 * sin[i];
        y[at + half + i] = x2 * cos[i] + x1 * sin[i];
      }
    }
    return y;
  }
}

/** The kind of a tensor, the same in every layer: its name without the number of the layer. */
function kindOf(name) {
  return name.replace(/^h\.\d+\./, "");
}

function softmax(x, from, count) {
  let most = -Infinity, sum = 0;
  for (let i = from; i < from + count; i += 1) most = Math.max(most, x[i]);
  for (let i = from; i < from + count; i += 1) sum += x[i] = Math.exp(x[i] - most);
  for (let i = from; i < from + count; i += 1) x[i] /= sum;
}

function squaredRelu(x) {
  return x > 0 ? x * x : 0;
}

/** GPT-2's approximation of x times the normal distribution (Hendrycks & Gimpel 2016). */
function gelu(x) {
  return x / 2 * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x * x * x)));
}
