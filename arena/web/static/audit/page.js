// The page that counts a published event again, from its file. Nothing leaves the device.

import { readArchive, readMember } from "./archive.js";
import { auditParts, PARTS } from "./audit.js";
import { numberOf, t } from "../check/words.js";

const find = (id) => document.getElementById(id);
const SHORT = 8; // characters of an entry's id that are shown

function say(text, tone = "") {
  find("status").textContent = text;
  find("status").className = `note ${tone}`;
  find("status").hidden = text === "";
}

function nameOf(match) {
  if (match === "third") return t("third place");
  const [, round, slot] = /^r(\d+)m(\d+)$/.exec(match) ?? [];
  return round ? t("round {round}, place {slot}", { round, slot }) : String(match).slice(0, 20);
}

/** What does not agree, as a sentence. */
function sentence(fault) {
  const match = fault.match === undefined ? "" : nameOf(fault.match);
  switch (fault.code) {
    case "missing": return t("{name} is missing, or too large for this page.", fault);
    case "changed": return t("{name} was changed: the file’s manifest lists other bytes.", fault);
    case "unreadable": return t("{name} cannot be read: {reason}.", fault);
    case "record": return t("Record {number} of the log was changed, added or taken out.", fault);
    case "odd": return t("Record {number} of the log cannot follow the records before it.", fault);
    case "draw-salt": return t("The draw has another salt than was fixed when submissions opened.");
    case "draw-order": return t("The bracket has another order than salt, word and entries give.");
    case "tally": return t("{match}, vote {round}: the log says {said}, the ballots give {found}.", { ...fault, match });
    case "digest": return t("{match}, vote {round}: these are not the ballots that were counted.", { ...fault, match });
    case "twice": return t("{match}, vote {round}: somebody voted twice.", { ...fault, match });
    case "uncounted": return t("{match}, vote {round}: ballots of a vote that was not counted.", { ...fault, match });
    case "sides": return t("{match}: other verses met than the results before it give.", { match });
    case "round": return t("{match}: a vote was counted that was not open.", { match });
    case "outcome": return t("{match}: the log says another outcome than its votes give.", { match });
    case "settled": return t("{match}: the log says another winner than the votes give.", { match });
    case "result": return t("{match}: the results say something else than the votes give.", { match });
    case "champion": return t("The log names another champion than the matches give.");
    case "podium": return t("The results name other places than the matches give.");
    case "salt": return t("The log has another salt for its digests than its first record fixed.");
    default: return t("The log does not end with the publication.");
  }
}

function titleOf(check, { records, ballots, voters, champion, matches }) {
  return {
    files: t("The parts of the file are those of its manifest"),
    chain: t("Log: {count} records, none changed or missing", { count: numberOf(records) }),
    draw: t("Draw: the order follows from salt, word and entries"),
    votes: t("Votes: {count} ballots of {voters} people give every tally", { count: numberOf(ballots), voters: numberOf(voters) }),
    matches: champion ? t("Bracket: {count} matches; the champion is entry {champion}", { count: numberOf(matches.length), champion: champion.slice(0, SHORT) }) : t("Bracket: there is no champion"),
  }[check];
}

const WAYS = () => ({ votes: t("votes"), revote: t("second vote"), draw: t("lot"), walkover: t("walkover") });

function element(tag, text, className = "") {
  const made = document.createElement(tag);
  made.textContent = text;
  made.className = className;
  return made;
}

function show(result) {
  const checks = Object.entries(result.checks);
  const broken = checks.findIndex(([name, faults]) => faults.length > 0 && (name === "files" || name === "chain") && result.head === null);
  const shown = result.head === null ? checks.filter(([, faults], at) => faults.length > 0 || at < broken) : checks;
  find("checks").replaceChildren(...shown.flatMap(([name, faults]) => (
    faults.length === 0 ? [element("li", `✓ ${titleOf(name, result)}`, "good")] : faults.map((fault) => element("li", `✗ ${sentence(fault)}`, "bad break"))
  )));
  find("matches").replaceChildren(...result.matches.filter(({ by }) => by !== "bye").map(({ id, tallies, by, winner }) => {
    const row = document.createElement("tr");
    row.append(element("td", nameOf(id)), element("td", tallies.map((pair) => pair.join(":")).join(", "), "num"), element("td", WAYS()[by] ?? ""), element("td", winner ? winner.slice(0, SHORT) : "", "num"));
    return row;
  }));
  find("records").textContent = result.head === null ? "" : t("Record {number}:", { number: numberOf(result.records) });
  find("head").textContent = result.head ?? "";
  find("found").hidden = false;
  const faults = checks.reduce((sum, [, found]) => sum + found.length, 0);
  if (faults > 0) say(faults === 1 ? t("One thing does not agree.") : t("{count} things do not agree.", { count: numberOf(faults) }), "bad");
  else say(t("“{event}”: everything that this page checks agrees.", { event: result.event }), "good");
}

async function examine(file) {
  find("found").hidden = true;
  say(t("Counting …"));
  try {
    const members = await readArchive(file), parts = {};
    for (const name of PARTS) parts[name] = await readMember(file, members, name);
    show(auditParts(parts));
  } catch (error) {
    say(t("This is not a file that arena export wrote: {reason}.", { reason: error.message }), "bad");
  }
}

for (const part of document.querySelectorAll("[data-script]")) part.hidden = false;
const take = () => { if (find("file").files.length) examine(find("file").files[0]); };
find("file").addEventListener("change", take);
take(); // a file that was chosen before this script came
