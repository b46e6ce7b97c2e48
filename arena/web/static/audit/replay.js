// Replays the records of a log that decide matches: the draw, counted votes, disqualifications, undone votes.

import { buildBracket, podiumOf, resolveBracket } from "./bracket.js";
import { commitmentOf, drawDigest, drawOrder, drawSaltDigest, drawTie } from "./digests.js";

const ROUNDS = 2; // a first vote, and one more after a tie

/** What follows from a log. `faults` has a code and facts of each record that cannot follow from those before it. */
export class Replay {
  constructor() {
    this.faults = [];
    this.matches = [];
    this.seeds = [];
    this.rows = new Map(); // by match: the number of its poll, the round, tallies, decision
    this.counted = new Map(); // by match, poll and round: tally and digest of the ballots
    this.out = new Set(); // disqualified entries
    this.places = new Map(); // in the heats
    this.standings = new Map();
    this.name = this.state = "";
    this.salt = null; // of the ballots' digests, once published
  }

  get podium() {
    return podiumOf(this.matches, this.standings, this.out);
  }

  fault(code, facts = {}) {
    this.faults.push({ code, ...facts });
  }

  apply({ number, kind, data }) {
    this.number = number;
    APPLY[kind]?.(this, data);
  }

  settle() {
    const decisions = new Map([...this.rows].filter(([, row]) => row.decision).map(([id, row]) => [id, row.decision]));
    this.standings = resolveBracket(this.matches, this.seeds, decisions, this.out);
  }

  clear() {
    this.matches = [];
    this.seeds = [];
    this.rows.clear();
    this.counted.clear();
    this.standings.clear();
  }
}

const APPLY = {
  "event-created"(log, data) {
    log.name = data.name;
    log.commitment = data.salt;
  },
  "rules-set"(log, data) {
    log.name = data.name ?? log.name;
  },
  "submissions-opened"(log, data) {
    log.drawSaltDigest = data.draw_salt_digest;
  },
  "heats-closed"(log, data) {
    log.places = new Map(data.ranking);
  },
  "bracket-drawn"(log, data) {
    if (drawSaltDigest(data.draw_salt) !== log.drawSaltDigest) log.fault("draw-salt");
    const drawn = [...data.entries, ...(data.others ?? [])];
    log.drawDigest = drawDigest(data.draw_salt, data.draw_word, drawn);
    log.seeding = data.seeding ?? "lot";
    const order = drawOrder(log.drawDigest, drawn);
    if (log.seeding === "heats") order.sort((a, b) => (log.places.get(a) ?? 0) - (log.places.get(b) ?? 0));
    if (new Set(drawn).size !== drawn.length || (["lot", "heats"].includes(log.seeding) && String(drawn) !== String(order))) log.fault("draw-order");
    log.clear();
    log.seeds = data.entries;
    log.matches = buildBracket(log.seeds.length);
    for (const { id } of log.matches) log.rows.set(id, { poll: 0, round: 0, opened: false, tallies: [], decision: null });
    log.settle();
  },
  "draw-undone"(log) {
    log.clear();
  },
  "match-opened"(log, data) {
    const row = log.rows.get(data.match), standing = log.standings.get(data.match);
    if (standing.upper !== data.upper || standing.lower !== data.lower || standing.by !== null) log.fault("sides", { match: data.match });
    if (row.opened) row.poll += 1;
    Object.assign(row, { opened: true, open: true, round: 0 });
  },
  "votes-counted"(log, data) {
    const row = log.rows.get(data.match), { upper, lower } = log.standings.get(data.match);
    if (!row.open || data.poll_round !== row.round) return log.fault("round", { match: data.match });
    log.counted.set(JSON.stringify([data.match, row.poll, row.round]), { upper: data.upper, lower: data.lower, digest: data.votes });
    row.tallies = [...row.tallies.slice(0, row.round), [data.upper, data.lower]];
    const outcome = outcomeOf(data.upper, data.lower, row.round);
    if (outcome !== data.outcome) log.fault("outcome", { match: data.match });
    row.round += 1;
    if (outcome === "revote") return undefined;
    row.open = false;
    const by = outcome === "draw" ? "draw" : row.round > 1 ? "revote" : "votes";
    const winner = outcome === "draw" ? drawTie(log.drawDigest, data.match, upper, lower) : outcome === "upper" ? upper : lower;
    row.decision = { upper, lower, winner, by };
    return log.settle();
  },
  "match-undone"(log, data) {
    Object.assign(log.rows.get(data.match), { open: false, round: 0, tallies: [], decision: null });
    log.settle();
  },
  "match-settled"(log, data) {
    const { winner, by } = log.standings.get(data.match);
    if (data.state === "closed" && ((data.winner ?? "") !== (winner ?? "") || data.by !== by)) log.fault("settled", { match: data.match });
  },
  "entry-disqualified"(log, data) {
    log.out.add(data.entry);
    log.settle();
  },
  "entry-reinstated"(log, data) {
    log.out.delete(data.entry);
    log.settle();
  },
  champion(log, data) {
    if ((data.entry ?? null) !== log.podium.champion) log.fault("champion");
  },
  published(log, data) {
    log.state = "published";
    log.salt = data.salt;
    if (commitmentOf(data.salt) !== log.commitment) log.fault("salt");
  },
};

function outcomeOf(upper, lower, round) {
  if (upper !== lower) return upper > lower ? "upper" : "lower";
  return round + 1 < ROUNDS ? "revote" : "draw";
}
