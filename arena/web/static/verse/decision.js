// The decision of one step (SPEC.md, sections 4 and 6): which token, by what gap, and what to say of a claimed one.

import { gumbelAll } from "./noise.js";

const BOUND = 1e-6; // the least bound of a step
const SAFETY = 4; // times the estimate

export function boundOf(estimate) {
  return Math.max(BOUND, SAFETY * estimate);
}

/** All that one step knows: the winner, its gap, and what a verdict asks for. */
export class Decision {
  /** z: logits by token id. recipe: gives seed, temperature and top_k. position: of the generated token, from 0. */
  constructor(z, recipe, position) {
    this.z = z;
    this.scores = scoresOf(z, recipe, position); // never z / T + g: a low temperature would magnify errors of z
    const k = recipe.top_k || z.length;
    this.all = k >= z.length;
    this.order = this.all ? [...z.keys()] : [...z.keys()].sort((a, b) => z[b] - z[a] || a - b);
    this.inside = this.order.slice(0, k).sort((a, b) => a - b); // candidates, by id
    this.outside = this.order.slice(k);
    this.least = this.all ? -Infinity : z[this.order[k - 1]]; // z_k
    this.next = this.all ? -Infinity : z[this.order[k]]; // z_(k+1)
    this.token = this.inside.reduce((best, id) => (this.scores[id] > this.scores[best] ? id : best));
    this.gap = this.findGap();
  }

  /** The smallest d for which changing every logit by at most d / 2 can change the token. */
  findGap() {
    const { z, scores, token: w, least, next } = this;
    let gap = z[w] - next; // w leaves the candidates
    for (const j of this.inside) if (j !== w) gap = Math.min(gap, scores[w] - scores[j]); // another candidate wins
    for (const j of this.outside) gap = Math.min(gap, Math.max(least - z[j], scores[w] - scores[j])); // or one that enters
    return gap;
  }

  /** PASS, FAIL or UNDECIDED for a claimed token. */
  verdict(claimed, bound) {
    const { z, scores, token: w, least, next } = this;
    if (claimed === w) return this.gap > bound ? "PASS" : "UNDECIDED";
    const ahead = Math.min(scores[w] - scores[claimed], z[w] - next);
    const beyond = !this.all && !this.inside.includes(claimed) && least - z[claimed] > bound;
    return ahead > bound || beyond ? "FAIL" : "UNDECIDED";
  }
}

function scoresOf(z, recipe, position) {
  if (recipe.temperature === 0) return z;
  const g = gumbelAll(recipe.seed, position, z.length);
  return g.map((noise, id) => z[id] + recipe.temperature / 100 * noise);
}
