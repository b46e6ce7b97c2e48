// The worker in which a page writes and checks a verse. It may take as long as it likes: the page can always end it.
//
// It gets {read: file}, and answers {claim}. Then {write: true}: it answers {token} for each token, {written} at the end
// of the verse, {checked} now and then, and {verdict}. A file that is no bundle is {refused}; anything else is {broken}.

import { checkFileEnd, checkFileSize, readWeights } from "./bundle.js";
import { headerBytes, readClaim } from "./claim.js";
import { costOf, secondsOfProduct } from "./cost.js";
import { BundleError } from "./errors.js";
import { likeliest, nameOf } from "./likeliest.js";
import { replay } from "./replay.js";
import { hideForbidden } from "./text.js";
import { writeVerse } from "./write.js";

const SHOWN = 5; // candidates of a step
const START_BYTES = 8; // which tell the length of the header
let file = null, claim = null;

self.onmessage = async ({ data }) => {
  try {
    if (data.read) self.postMessage({ claim: await readHeader(data.read) });
    else await writeAndCheck();
  } catch (error) {
    if (error instanceof BundleError) self.postMessage({ refused: { code: error.code, message: error.message } });
    else self.postMessage({ broken: String(error.message ?? error) });
  }
};

const bytesOf = async (from, to) => new Uint8Array(await file.slice(from, to).arrayBuffer());

/** Read the header alone, so that the page can say what comes before it comes. */
async function readHeader(blob) {
  file = blob;
  checkFileSize(file.size);
  claim = readClaim(await bytesOf(0, headerBytes(await bytesOf(0, START_BYTES))));
  checkFileEnd(claim, file.size);
  const { products, bytes } = costOf(claim);
  const { arch, n_layer, n_embd, nParams } = claim.config;
  return {
    prompt: claim.prompt, text: claim.text, tokens: claim.ids.length, recipe: claim.recipe,
    model: { arch, n_layer, n_embd, nParams }, seconds: products * secondsOfProduct(), bytes,
  };
}

async function writeAndCheck() {
  const weights = readWeights(claim, await bytesOf(claim.headerBytes));
  const { config, vocabulary, recipe, ids } = claim;
  let position = 0, same = true, different = null;
  for (const decision of writeVerse(config, weights, vocabulary, recipe)) {
    const token = decision.token, expected = ids[position];
    if (token !== expected && same) {
      same = false;
      different = { position, written: nameOf(vocabulary[token]), claimed: expected === undefined ? null : nameOf(vocabulary[expected]) };
    }
    const candidates = likeliest(decision, recipe.temperature, SHOWN)
      .map(({ id, probability, chosen }) => ({ name: nameOf(vocabulary[id]), probability, chosen }));
    self.postMessage({ token: { position, text: hideForbidden(vocabulary[token]), candidates, same } });
    position += 1;
  }
  self.postMessage({ written: { same: same && position === ids.length, different } });
  const steps = replay(config, weights, recipe, ids);
  for (let step = steps.next(); ; step = steps.next()) {
    if (step.done) {
      self.postMessage({ verdict: step.value });
      return;
    }
    self.postMessage({ checked: step.value });
  }
}
