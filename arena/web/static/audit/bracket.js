// Single elimination with byes and a match for the third place, as arena/rules/bracket.py defines it.
//
// A side is an entry's id, "" for nobody, or null: not known yet.

const MAX_PLACES = 1024;

function seedPositions(count) {
  let order = count < 1 ? [] : [1];
  while (order.length < count) {
    const double = 2 * order.length;
    order = order.flatMap((seed) => [seed, double + 1 - seed]);
  }
  return order;
}

/** All matches of so many entries, in the order of play: id, kind, and where both sides come from. */
export function buildBracket(count) {
  if (count > MAX_PLACES) throw new Error("too many entries");
  let sides = seedPositions(count).map((place) => (place <= count ? { seed: place } : null));
  if (count === 1) sides.push(null);
  const matches = [];
  for (let round = 1; sides.length > 1; round += 1) {
    const last = sides.length === 2;
    if (last && round > 1) {
      const [upper, lower] = [1, 2].map((slot) => ({ loser: `r${round - 1}m${slot}` }));
      matches.push({ id: "third", kind: "third", round, upper, lower });
    }
    const row = [];
    for (let at = 0; at < sides.length; at += 2) {
      row.push({ id: `r${round}m${at / 2 + 1}`, kind: last ? "final" : "match", round, upper: sides[at], lower: sides[at + 1] });
    }
    matches.push(...row);
    sides = last ? [] : row.map((match) => ({ winner: match.id }));
  }
  return matches;
}

/** Sides, winner, loser and what decided it, of every match, by id. `by` is null while it has no result. */
export function resolveBracket(matches, seeds, decisions, out) {
  const standings = new Map();
  const sideOf = (source) => {
    if (source === null) return "";
    if (source.seed) return seeds[source.seed - 1];
    return source.winner ? standings.get(source.winner).winner : standings.get(source.loser).loser;
  };
  for (const match of matches) {
    const upper = sideOf(match.upper), lower = sideOf(match.lower);
    standings.set(match.id, { upper, lower, winner: null, loser: null, by: null, ...resultOfMatch(match, upper, lower, decisions.get(match.id), out) });
  }
  return standings;
}

function resultOfMatch(match, upper, lower, decision, out) {
  if (upper === null || lower === null) return {};
  if (decision && decision.upper === upper && decision.lower === lower && (!out.has(decision.winner) || match.kind === "match")) {
    return { winner: decision.winner, loser: decision.winner === upper ? lower : upper, by: decision.by };
  }
  const present = [upper, lower].filter((side) => side !== "" && !out.has(side));
  if (present.length === 2) return {};
  const winner = present[0] ?? "";
  const loser = winner === "" ? "" : winner === upper ? lower : upper;
  const isBye = match.kind === "match" && (upper === "" || lower === "") && (match.upper === null || match.lower === null);
  return { winner, loser, by: isBye ? "bye" : "walkover" };
}

/** The first three places, by the standings; null for nobody. */
export function podiumOf(matches, standings, out) {
  const of = (kind) => standings.get(matches.find((match) => match.kind === kind)?.id);
  const final = of("final"), third = of("third");
  const champion = final?.winner || null;
  const second = champion && final.loser && !out.has(final.loser) ? final.loser : null;
  return { champion, second, third: third?.winner || null };
}
