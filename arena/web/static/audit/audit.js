// Computes the tallies, the ties and the champion of a published event again, from the parts of its file.
//
// What does not agree is a code with facts; the page makes sentences of it. `arena audit` checks more.

import { ballotsDigest, digestOf } from "./digests.js";
import { Replay } from "./replay.js";
import { sha256Hex } from "../verse/sha256.js";

const RECORD = /^\{"at":(-?[0-9.e+-]+),"data":(".*"),"hash":"([0-9a-f]{64})","kind":"([a-z-]+)","number":([0-9]+)\}$/;
const STRING = /"(?:[^"\\]|\\.)*"/g;
const COMPARED = ["winner_id", "decided_by", "tallies"]; // of each match in the results
export const PARTS = ["manifest.json", "log.jsonl", "ballots.json", "results.json"];

const textOf = (bytes) => new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);

/** Parse JSON in which no key of an object is there twice. */
function parseOnce(text) {
  const value = JSON.parse(text);
  const keys = (json) => json.replace(STRING, '""').split('"":').length;
  if (keys(text) !== keys(JSON.stringify(value))) throw new Error("a key is there twice");
  return value;
}

/** Audit the parts of a file: bytes by name, undefined for a part that is missing. */
export function auditParts(parts) {
  const checks = { files: [], chain: [], draw: [], votes: [], matches: [] }; // faults of each
  const result = { checks, event: "", head: null, records: 0, ballots: 0, voters: 0, champion: null, matches: [] };
  for (const name of PARTS) if (parts[name] === undefined) checks.files.push({ code: "missing", name });
  if (checks.files.length > 0) return result;
  let log, ballots, results;
  for (const [name, read] of [
    ["manifest.json", (text) => checks.files.push(...changedParts(parseOnce(text), parts))],
    ["log.jsonl", (text) => { log = text.split("\n"); }],
    ["ballots.json", (text) => { ballots = readBallots(text); }],
    ["results.json", (text) => { results = parseOnce(text); }],
  ]) {
    try {
      read(textOf(parts[name]));
    } catch (error) {
      checks.files.push({ code: "unreadable", name, reason: error.message });
      return result;
    }
  }
  const replay = replayLog(log, checks, result);
  if (replay === null) return result;
  const drawing = ["draw-salt", "draw-order"];
  checks.draw.push(...replay.faults.filter(({ code }) => drawing.includes(code)));
  checks.matches.push(...replay.faults.filter(({ code }) => !drawing.includes(code)));
  if (replay.state !== "published") checks.matches.push({ code: "unpublished" });
  checks.votes.push(...compareBallots(replay, ballots));
  checks.matches.push(...compareResults(replay, results));
  result.event = replay.name;
  result.champion = replay.podium.champion;
  result.ballots = ballots.reduce((sum, [, , , cast]) => sum + cast.length, 0);
  result.voters = new Set(ballots.flatMap(([, , , cast]) => cast.map(([voter]) => voter))).size;
  result.podium = replay.podium;
  result.matches = replay.matches.map(({ id, round }) => {
    const { upper, lower, winner, by } = replay.standings.get(id);
    return { id, round, upper, lower, winner, by, tallies: replay.rows.get(id).tallies };
  });
  return result;
}

function* changedParts(manifest, parts) {
  const listed = new Map(manifest.members.map(([name, size, digest]) => [name, [size, digest]]));
  for (const name of PARTS.slice(1)) {
    const [size, digest] = listed.get(name) ?? [];
    if (parts[name].length !== size || sha256Hex(parts[name]) !== digest) yield { code: "changed", name };
  }
}

/** The rounds: match, poll, round, and voter id, choice and minute of each ballot. */
function readBallots(text) {
  const rounds = JSON.parse(text);
  if (JSON.stringify(rounds) !== text) throw new Error("not written as ballots are");
  for (const [match, poll, round, cast] of rounds) {
    if (typeof match !== "string" || ![poll, round].every(Number.isInteger)) throw new Error("a round is none");
    const isBallot = ([voter, choice, minute]) => typeof voter === "string" && ["upper", "lower"].includes(choice) && Number.isInteger(minute);
    if (!cast.every((ballot) => ballot.length === 3 && isBallot(ballot))) throw new Error("a ballot is none");
  }
  return rounds;
}

/** Check the chain of hashes and replay the records; null at the first that breaks it. */
function replayLog(lines, checks, result) {
  const replay = new Replay();
  let before = "0".repeat(64);
  if (lines.pop() !== "") checks.chain.push({ code: "record", number: lines.length + 1 });
  for (const [index, line] of lines.entries()) {
    const number = index + 1, parts = RECORD.exec(line);
    if (parts === null || Number(parts[5]) !== number || digestOf(`${before}{"at":${parts[1]},"data":${parts[2]},"kind":"${parts[4]}","number":${number}}`) !== parts[3]) {
      checks.chain.push({ code: "record", number });
      return null;
    }
    before = parts[3];
    try {
      replay.apply({ number, kind: parts[4], data: parseOnce(JSON.parse(parts[2])) });
    } catch {
      checks.matches.push({ code: "odd", number });
      return null;
    }
  }
  Object.assign(result, { head: before, records: lines.length });
  return replay;
}

function* compareBallots(replay, rounds) {
  const seen = new Set();
  for (const [match, poll, round, cast] of rounds) {
    const key = JSON.stringify([match, poll, round]), counted = replay.counted.get(key);
    const about = { match, round: round + 1 };
    if (counted === undefined || seen.has(key)) {
      yield { code: "uncounted", ...about };
      continue;
    }
    seen.add(key);
    const upper = cast.filter(([, choice]) => choice === "upper").length, lower = cast.length - upper;
    if (upper !== counted.upper || lower !== counted.lower) yield { code: "tally", ...about, said: `${counted.upper}:${counted.lower}`, found: `${upper}:${lower}` };
    if (new Set(cast.map(([voter]) => voter)).size !== cast.length) yield { code: "twice", ...about };
    if (ballotsDigest(replay.salt, match, poll, round, cast) !== counted.digest) yield { code: "digest", ...about };
  }
  for (const [key, counted] of replay.counted) {
    const [match, poll, round] = JSON.parse(key);
    if (seen.has(key)) continue;
    if (counted.upper + counted.lower > 0) yield { code: "tally", match, round: round + 1, said: `${counted.upper}:${counted.lower}`, found: "0:0" };
    else if (ballotsDigest(replay.salt, match, poll, round, []) !== counted.digest) yield { code: "digest", match, round: round + 1 };
  }
}

function* compareResults(replay, results) {
  const { champion, second, third } = replay.podium;
  if (JSON.stringify([results.champion, results.second, results.third]) !== JSON.stringify([champion, second, third])) yield { code: "podium" };
  const said = new Map(results.matches.map((match) => [match.id, match]));
  if (said.size !== replay.matches.length) yield { code: "podium" };
  for (const { id } of replay.matches) {
    const standing = replay.standings.get(id), { tallies } = replay.rows.get(id), match = said.get(id) ?? {};
    const found = { winner_id: standing.winner || null, decided_by: standing.by, tallies: tallies.length ? tallies : null };
    if (COMPARED.some((name) => JSON.stringify(match[name] ?? null) !== JSON.stringify(found[name]))) yield { code: "result", match: id };
  }
}
