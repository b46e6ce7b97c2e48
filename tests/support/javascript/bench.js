// Writes and replays the verse of the bundle named on the command line, once for each line of standard input, and
// prints JSON: the processor seconds of each, and the memory of this process beyond what it had before, in bytes.

import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";

import { readBundle } from "../../../arena/web/static/verse/bundle.js";
import { replay } from "../../../arena/web/static/verse/replay.js";
import { writeVerse } from "../../../arena/web/static/verse/write.js";

const before = process.memoryUsage().rss;
const { claim, weights } = readBundle(readFileSync(process.argv[2]));
const { config, vocabulary, recipe, ids } = claim;

function secondsOf(steps) {
  const start = process.cpuUsage();
  while (!steps.next().done);
  const { user, system } = process.cpuUsage(start);
  return (user + system) / 1e6;
}

for await (const _ of createInterface({ input: process.stdin })) {
  const write = secondsOf(writeVerse(config, weights, vocabulary, recipe));
  const check = secondsOf(replay(config, weights, recipe, ids));
  console.log(JSON.stringify({ write, check, memory: process.resourceUsage().maxRSS * 1024 - before }));
}
