// Holds the verse engine in JavaScript against golden.json and whole bundles, in Node and in a browser alike.

import { auditParts } from "../../../arena/web/static/audit/audit.js";
import { readBundle } from "../../../arena/web/static/verse/bundle.js";
import { idsDigest } from "../../../arena/web/static/verse/claim.js";
import { sizeOf, withShapes } from "../../../arena/web/static/verse/config.js";
import { boundOf, Decision } from "../../../arena/web/static/verse/decision.js";
import { nameOf } from "../../../arena/web/static/verse/likeliest.js";
import { gumbel, noiseInteger } from "../../../arena/web/static/verse/noise.js";
import { dot, Products } from "../../../arena/web/static/verse/products.js";
import { replay } from "../../../arena/web/static/verse/replay.js";
import { sha256Hex } from "../../../arena/web/static/verse/sha256.js";
import { parseJson } from "../../../arena/web/static/verse/strictjson.js";
import { LineEnd, verseText } from "../../../arena/web/static/verse/text.js";
import { readVocabulary } from "../../../arena/web/static/verse/vocabulary.js";
import { writeVerse } from "../../../arena/web/static/verse/write.js";

const near = (a, b) => Math.abs(a - b) <= 1e-9;
const fromBase64 = (text) => Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);

function finish(steps) {
  for (;;) {
    const step = steps.next();
    if (step.done) return step.value;
  }
}

/** Write the verse of a bundle again, and judge it; or the code of the rule that it breaks. */
function examine(bytes) {
  let bundle;
  try {
    bundle = readBundle(bytes);
  } catch (error) {
    if (error.code === undefined) throw error;
    return { code: error.code };
  }
  const { claim, weights } = bundle;
  const written = [], gaps = [];
  for (const { token, gap } of writeVerse(claim.config, weights, claim.vocabulary, claim.recipe)) {
    written.push(token);
    gaps.push(gap);
  }
  return { ...finish(replay(claim.config, weights, claim.recipe, claim.ids)), written, writtenGap: Math.min(...gaps), text: claim.text, prompt: claim.prompt };
}

/** The weights of SPEC.md, section 8. */
function goldenWeights(config, number) {
  const products = new Products([...config.shapes.values()]);
  const weights = Object.assign(new Map(), { products });
  [...config.shapes].forEach(([name, shape], t) => {
    const isGain = name.endsWith(".weight") && shape.length === 1;
    const tensor = products.newTensor(sizeOf(shape));
    for (let i = 0; i < tensor.length; i += 1) {
      const b = 2 * Math.floor(noiseInteger(number, t, i) / 2 ** 44) - 255;
      tensor[i] = isGain ? 1 + b / 1024 : b / 256;
    }
    weights.set(name, tensor);
  });
  return weights;
}

const CHECKS = {
  *products() {
    for (const [rows, nIn, nOut] of [[1, 8, 2], [1, 128, 65], [2, 8, 9], [3, 24, 4], [5, 16, 7], [96, 8, 11]]) {
      const products = new Products([[3, 8], [nOut, nIn], [1]]);
      const [, w, after] = [24, nOut * nIn, 1].map((size) => products.newTensor(size));
      after.fill(NaN); // what lies beyond the matrix gets into no product
      const [x, y] = [nIn, nOut].map((n) => new Float64Array(rows * n));
      for (let i = 0; i < w.length; i += 1) w[i] = Math.fround(Math.sin(i));
      for (let i = 0; i < x.length; i += 1) x[i] = Math.cos(i * i);
      products.multiply(x, w, y, rows, nIn, nOut);
      const isRight = (number, at) => near(number, dot(x, Math.floor(at / nOut) * nIn, w, (at % nOut) * nIn, nIn));
      if (!y.every(isRight)) yield `${rows} rows of ${nIn} and ${nOut}`;
    }
  },
  *noise(golden) {
    for (const [seed, position, id, n, g] of golden.noise) {
      if (noiseInteger(seed, position, id) !== n || !near(gumbel(n), g)) yield `${seed}, ${position}, ${id}`;
    }
  },
  *gumbel(golden) {
    for (const [n, g] of golden.gumbel) if (!near(gumbel(n), g)) yield n;
  },
  *decisions(golden) {
    for (const entry of golden.decisions) {
      const { token, gap } = new Decision(Float64Array.from(entry.logits), entry, entry.position);
      if (token !== entry.token || !near(gap, entry.gap)) yield entry.about;
    }
  },
  *verdicts(golden) {
    for (const entry of golden.verdicts) {
      const decision = new Decision(Float64Array.from(entry.logits), entry, entry.position);
      if (decision.verdict(entry.claimed, boundOf(entry.estimate)) !== entry.verdict) yield entry.about;
    }
  },
  *texts(golden) {
    for (const entry of golden.texts) {
      const vocabulary = readVocabulary(parseJson(JSON.stringify(entry.tokenizer)));
      const end = new LineEnd(entry.lines);
      const ends = entry.ids.map((id) => end.push(vocabulary[id]));
      if (!same(ends.includes(true) ? ends.indexOf(true) + 1 : null, entry.ends_after)) yield `${entry.about}: its end`;
      const kept = entry.ids.slice(0, entry.ends_after ?? undefined);
      if (verseText(vocabulary, entry, kept) !== entry.text) yield entry.about;
    }
  },
  *characters(golden) {
    const isText = (code) => verseText(["a" + String.fromCodePoint(code)], { lines: 0 }, [0]) !== null;
    const forbidden = [];
    for (let code = 0; code <= 0x10ffff; code += 1) if ((code < 0xd800 || code > 0xdfff) && !isText(code)) forbidden.push(code);
    if (!same(forbidden, golden.characters.forbidden)) yield "the forbidden ones";
    if (!golden.characters.allowed.every(isText)) yield "the allowed ones";
  },
  *names() {
    const names = {
      "love": "love", " my\n\n": "␣my⏎⏎", "äé": "äé", "😀😀": "😀😀", "": "", "a\0b": "a<U+0000>b", "\r": "<U+000D>", "\u0085": "<U+0085>",
      "\u202ea": "<U+202E>a", "\ufeff": "<U+FEFF>", "👩\u200d": "👩<U+200D>", "\u{e0041}": "<U+E0041>",
    };
    for (const [token, name] of Object.entries(names)) if (nameOf(token) !== name) yield `of ${name}`;
  },
  *verses(golden) {
    for (const entry of golden.verses) {
      const config = withShapes(entry.config), weights = goldenWeights(config, entry.weights);
      const vocabulary = readVocabulary(parseJson(JSON.stringify(entry.tokenizer)));
      const steps = [...writeVerse(config, weights, vocabulary, entry.recipe)];
      const ids = steps.map((step) => step.token), gaps = steps.map((step) => step.gap), gap = Math.min(...gaps);
      if (!same(ids, entry.ids) || !near(gap, entry.smallest_gap) || gaps.indexOf(gap) !== entry.position) yield entry.about;
      if (idsDigest(ids) !== entry.ids_sha256) yield `${entry.about}: the digest`;
      if (verseText(vocabulary, entry.recipe, ids) !== entry.text) yield `${entry.about}: the text`;
      const verdict = finish(replay(config, weights, entry.recipe, ids));
      if (verdict.verdict !== "PASS" || !near(verdict.smallestGap, entry.smallest_gap)) yield `${entry.about}: the replay`;
    }
  },
  *replays(golden) {
    for (const entry of golden.replays) {
      const verse = golden.verses[entry.verse], config = withShapes(verse.config), ids = [...verse.ids];
      if (entry.at !== null) ids[entry.at] = entry.by;
      const found = finish(replay(config, goldenWeights(config, verse.weights), verse.recipe, ids));
      if (!["verdict", "position", "expected", "claimed"].every((key) => found[key] === entry[key])) yield entry.about;
    }
  },
  *bundle(golden, bytes) {
    const { claim } = readBundle(bytes), verse = golden.verses[golden.bundle.verse];
    if (sha256Hex(bytes) !== golden.bundle.sha256 || claim.digest !== golden.bundle.tensors_sha256) yield "a digest";
    if (claim.headerBytes !== golden.bundle.header_bytes || claim.bytes !== golden.bundle.bytes) yield "a length";
    if (!same(claim.ids, verse.ids) || claim.text !== verse.text) yield "the verse";
    if (examine(bytes).verdict !== "PASS") yield "the verdict";
  },
};

/** Carry out a task: {golden, bundle} gives the vectors that differ, {bundles} what there is to say of each, {kernels} whether there are any. */
export function run(task) {
  if (task.kernels) return new Products([[8, 8]]).kernels !== null;
  if (task.audit) return auditParts(Object.fromEntries(Object.entries(task.audit).map(([name, text]) => [name, fromBase64(text)])));
  if (task.bundles) return task.bundles.map((text) => examine(fromBase64(text)));
  const bytes = fromBase64(task.bundle);
  return Object.entries(CHECKS).flatMap(([name, check]) => [...check(task.golden, bytes)].map((about) => `${name}: ${about}`));
}
