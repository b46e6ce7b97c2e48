// Replaying a claimed verse (SPEC.md, section 6): its tokens are known, so many positions are computed in one pass.

import { boundOf, Decision } from "./decision.js";
import { CHUNK } from "./model.js";
import { isVisible, MovedModel } from "./rounding.js";

/**
 * Judge each claimed token. Yields the number of tokens judged.
 *
 * Returns the verdict of the verse with its bound; where it fails, or is undecided first: position, expected and claimed
 * token; and the smallest gap with its position, unless it fails.
 */
export function* replay(config, weights, recipe, ids, model = new MovedModel(config, weights)) {
  const prompt = recipe.prompt_ids;
  const tokens = [...prompt, ...ids.slice(0, -1)];
  const cache = model.newCache(tokens.length);
  const closest = { smallestGap: Infinity, gapPosition: null };
  let undecided = null, bound = 0, moved = 0;
  for (let start = 0; start < tokens.length; start += CHUNK) {
    const chunk = tokens.slice(start, start + CHUNK);
    const hidden = model.hidden(chunk, cache), width = hidden.length / chunk.length;
    for (let i = 0; i < chunk.length; i += 1) {
      moved = Math.max(moved, model.moves[i]);
      const position = start + i - prompt.length + 1;
      if (position < 0) continue;
      const z = model.logits(hidden.subarray(i * width, (i + 1) * width)); // of three copies
      bound = Math.max(bound, boundOf(isVisible(moved) ? Infinity : model.estimate(z))); // an error may change all that follow
      const decision = new Decision(z.subarray(0, config.vocab_size), recipe, position);
      const verdict = decision.verdict(ids[position], bound);
      const where = { verdict, bound, position, expected: decision.token, claimed: ids[position] };
      if (verdict === "FAIL") return where;
      if (verdict === "UNDECIDED") undecided ??= where;
      if (decision.gap < closest.smallestGap) Object.assign(closest, { smallestGap: decision.gap, gapPosition: position });
      yield position + 1;
    }
  }
  return { verdict: "PASS", bound, position: null, expected: null, claimed: null, ...undecided, ...closest };
}
