// Writing a verse, token by token: what the recipe chooses (SPEC.md, sections 4 and 5), whatever anybody claims.

import { Decision } from "./decision.js";
import { CHUNK, VerseModel } from "./model.js";
import { LineEnd } from "./text.js";

/** Write a verse. Yields the decision of each token. */
export function* writeVerse(config, weights, vocabulary, recipe) {
  const model = new VerseModel(config, weights);
  const prompt = recipe.prompt_ids, end = new LineEnd(recipe.lines);
  const cache = model.newCache(prompt.length + recipe.tokens);
  let hidden;
  for (let start = 0; start < prompt.length; start += CHUNK) hidden = model.hidden(prompt.slice(start, start + CHUNK), cache);
  for (let position = 0; ; position += 1) {
    const decision = new Decision(model.logits(hidden.subarray(-config.n_embd)), recipe, position);
    yield decision;
    if (end.push(vocabulary[decision.token]) || position + 1 === recipe.tokens) return;
    hidden = model.hidden([decision.token], cache);
  }
}
