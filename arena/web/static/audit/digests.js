// Digests of the log, the ballots and the draw: SHA-256 of texts, as arena/rules/chain.py and draw.py compute them.

import { sha256Hex } from "../verse/sha256.js";

const utf8 = new TextEncoder();

export function digestOf(text) {
  return sha256Hex(utf8.encode(text));
}

/** What the log holds of a value that is published later. */
export function commitmentOf(value) {
  return digestOf(`verse-commitment-1${value}`);
}

/** The digest of all ballots of a round: voter id, choice and minute of each. */
export function ballotsDigest(salt, match, poll, round, ballots) {
  return digestOf(JSON.stringify([salt, "ballots", match, poll, round, [...ballots].sort(inOrder)]));
}

function inOrder(a, b) {
  for (let i = 0; i < a.length; i += 1) if (a[i] !== b[i]) return a[i] < b[i] ? -1 : 1;
  return 0;
}

/** What decides a draw: the salt, the room's word, and who takes part. */
export function drawDigest(salt, word, entries) {
  return digestOf(["verse-draw-2", salt, word, ...[...entries].sort()].map((line) => `${line}\n`).join(""));
}

export function drawSaltDigest(salt) {
  return digestOf(`verse-draw-salt-1${salt}`);
}

/** Entries in the order of the lot. */
export function drawOrder(digest, entries) {
  const keys = new Map(entries.map((entry) => [entry, digestOf(`verse-draw-1${digest}${entry}`)]));
  return [...entries].sort((a, b) => (keys.get(a) < keys.get(b) ? -1 : 1));
}

/** The winner of a match that stayed a tie. */
export function drawTie(digest, match, upper, lower) {
  const key = (entry) => digestOf(`verse-draw-1${digest}${match}/${entry}`);
  return key(upper) <= key(lower) ? upper : lower;
}
