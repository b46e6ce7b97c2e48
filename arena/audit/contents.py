"""What a published event's file holds: its members, in one order, as canonical JSON.

manifest.json     format, event, head of the log, key, size and SHA-256 of every other member; signed by the event
README.txt        how to check it
log.jsonl         the log, a record a line
entries.json      of each entry: owner, claim, file, receipt; author and verse where they are public
ballots.json      the ballots of each round that was counted: voter id, choice, minute
judgements.json   the judgements of closed heats: voter id, two entries, choice
voters.json       the voters to whom cards were issued, by batch
results.json      rules, draw, matches and places; it follows from the log
bundles/*.verse   the bundles of the bracket
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from arena.rules.chain import Record
from arena.rules.facts import Ballots, Facts, Judgements
from arena.rules.rebuild import podium
from trainer.verse import strictjson

FORMAT = 1
MANIFEST, README, LOG, ENTRIES, BALLOTS, JUDGEMENTS, VOTERS, RESULTS = (
    "manifest.json",
    "README.txt",
    "log.jsonl",
    "entries.json",
    "ballots.json",
    "judgements.json",
    "voters.json",
    "results.json",
)
BUNDLES, SUFFIX = "bundles/", ".verse"
LIMITS = {  # bytes
    MANIFEST: 4 * 2**20,
    README: 2**16,
    LOG: 2**28,
    ENTRIES: 2**26,
    BALLOTS: 2**28,
    JUDGEMENTS: 2**28,
    VOTERS: 2**26,
    RESULTS: 2**26,
}
RECORD_FIELDS = ("number", "at", "kind", "data", "hash")
MANIFEST_FIELDS = ("format", "event", "head", "key", "members", "signature")
README_TEXT = b"""A published event of Verse Arena.

To check it on any computer, without a network:

    pip install .            (in a clone of the repository)
    arena audit THIS_FILE

That recomputes the chain of the log, every signature, every verse, the draw,
every tally, every tie and the champion, and says what it cannot show.

manifest.json    size and SHA-256 of the other members, signed by the event
log.jsonl        the log, one record a line
entries.json     entries; authors and verses where they are public
ballots.json     voter id, choice and minute of each ballot that was counted
judgements.json  the judgements of the heats
voters.json      the voters to whom cards were issued
results.json     rules, draw, matches and places
bundles/         what each verse of the bracket was written with

A ballot is known by its voter id: SHA-256("verse-voter-1" | secret of the
voter), hexadecimal. Your phone shows yours on the event's page "My votes".
"""


@dataclass(frozen=True)
class PublishedEntry:
    """What is published of an entry."""

    entry: str  # id
    owner: str  # id
    claim: str  # SHA-256 of the bundle's header
    bundle: str | None  # SHA-256 of the bundle
    signature: str  # of the receipt
    name: str | None  # of the author, where it is public
    key: str | None  # of the digest of the name
    text: str | None  # the verse, where it is public
    prompt: str | None


def dump_log(records: Iterable[Record]) -> bytes:
    """Write the log, a record a line."""
    return b"".join(
        strictjson.dump({name: getattr(record, name) for name in RECORD_FIELDS}) + b"\n" for record in records
    )


def parse_log(data: bytes) -> list[Record]:
    """Read the log.

    Raises:
        ValueError: It is not what `dump_log` writes.
    """
    records = []
    for number, line in enumerate(data.splitlines(), start=1):
        value = strictjson.parse(line)
        if not isinstance(value, dict) or set(value) != set(RECORD_FIELDS):
            raise ValueError(f"line {number} is not a record")
        if [type(value[name]) for name in RECORD_FIELDS] != [int, float, str, str, str]:
            raise ValueError(f"line {number} has a field of another type")
        records.append(Record(**value))
    if dump_log(records) != data:
        raise ValueError("it is not written as a log is")
    return records


def dump_entries(entries: Sequence[PublishedEntry]) -> bytes:
    """Write entries."""
    return strictjson.dump([vars(entry) for entry in entries])


def parse_entries(data: bytes) -> list[PublishedEntry]:
    """Read entries.

    Raises:
        ValueError: It is not what `dump_entries` writes.
    """
    value = _canonical(data)
    if not isinstance(value, list):
        raise ValueError("it is not a list")
    try:
        entries = [PublishedEntry(**item) for item in value]
    except TypeError:
        raise ValueError("an entry has other fields") from None
    for entry in entries:
        texts = list(vars(entry).values())
        if not all(text is None or isinstance(text, str) for text in texts):
            raise ValueError("an entry has a field of another type")
        if None in (entry.entry, entry.owner, entry.claim, entry.signature):
            raise ValueError("an entry lacks a field")
    return entries


def dump_ballots(ballots: Ballots) -> bytes:
    """Write ballots."""
    return strictjson.dump([[*key, [list(ballot) for ballot in ballots[key]]] for key in sorted(ballots)])


def parse_ballots(data: bytes) -> dict[tuple[str, int, int], list[tuple[str, str, int]]]:
    """Read ballots.

    Raises:
        ValueError: It is not what `dump_ballots` writes.
    """
    ballots = {}
    try:
        for match, poll, poll_round, cast in _canonical(data):
            if [type(part) for part in (match, poll, poll_round, cast)] != [str, int, int, list]:
                raise ValueError("a round has a field of another type")
            for ballot in cast:
                if [type(part) for part in ballot] != [str, str, int] or ballot[1] not in ("upper", "lower"):
                    raise ValueError(f"a ballot of {match} is none")
            ballots[match, poll, poll_round] = [(voter, choice, minute) for voter, choice, minute in cast]
    except TypeError:
        raise ValueError("it is not a list of rounds") from None
    if dump_ballots(ballots) != data:
        raise ValueError("it is not written as ballots are")
    return ballots


def dump_judgements(judgements: Judgements) -> bytes:
    """Write judgements."""
    return strictjson.dump([list(judgement) for judgement in sorted(judgements)])


def parse_judgements(data: bytes) -> list[tuple[str, str, str, str]]:
    """Read judgements.

    Raises:
        ValueError: It is not what `dump_judgements` writes.
    """
    value = _canonical(data)
    if not isinstance(value, list) or not all(
        isinstance(row, list)
        and [type(part) for part in row] == [str] * 4
        and row[1] < row[2]
        and row[3] in ("upper", "lower")
        for row in value
    ):
        raise ValueError("it is not a list of judgements")
    judgements = [(voter, upper, lower, choice) for voter, upper, lower, choice in value]
    if dump_judgements(judgements) != data:
        raise ValueError("it is not written as judgements are")
    return judgements


def dump_voters(voters: Mapping[int, Sequence[str]]) -> bytes:
    """Write the voters to whom cards were issued."""
    return strictjson.dump([[batch, sorted(voters[batch])] for batch in sorted(voters)])


def parse_voters(data: bytes) -> dict[int, list[str]]:
    """Read the voters to whom cards were issued.

    Raises:
        ValueError: It is not what `dump_voters` writes.
    """
    value = _canonical(data)
    if not isinstance(value, list) or not all(
        isinstance(row, list)
        and [type(part) for part in row] == [int, list]
        and all(isinstance(voter, str) for voter in row[1])
        for row in value
    ):
        raise ValueError("it is not a list of batches")
    voters: dict[int, list[str]] = dict(value)
    if dump_voters(voters) != data:
        raise ValueError("it is not written as voters are")
    return voters


def dump_results(facts: Facts) -> bytes:
    """Write the results that follow from the log."""
    event, places = facts.event, podium(facts)
    fields = ("id", "kind", "round", "slot", "upper_id", "lower_id", "winner_id", "decided_by", "tallies")
    return strictjson.dump(
        {
            "event": event.name,
            "state": event.state,
            "rules": event.rules,
            "nonce": facts.nonce,
            "admission": event.admission,
            "seeding": event.seeding,
            "heats": [[entry.id, entry.heat_place] for entry in facts.entries.values() if entry.heat_place is not None],
            "draw": {"word": event.draw_word, "digest": event.draw_digest, "seeds": facts.seeds()},
            "entries": {entry.id: [entry.state, entry.verdict] for entry in facts.entries.values()},
            "matches": [{name: getattr(match, name) for name in fields} for match in facts.matches.values()],
            "champion": places.champion,
            "second": places.second,
            "third": places.third,
        }
    )


def dump_manifest(manifest: Mapping[str, Any], signature: str) -> bytes:
    """Write a manifest."""
    return strictjson.dump({**manifest, "signature": signature})


def parse_manifest(data: bytes) -> dict[str, Any]:
    """Read a manifest.

    Raises:
        ValueError: It is not what `dump_manifest` writes.
    """
    value = _canonical(data)
    if not isinstance(value, dict) or set(value) != set(MANIFEST_FIELDS) or value["format"] != FORMAT:
        raise ValueError("it has other fields, or a later version wrote it")
    members = value["members"]
    if not isinstance(members, list) or not all(
        isinstance(member, list) and [type(part) for part in member] == [str, int, str] for member in members
    ):
        raise ValueError("its members are not name, size and SHA-256 each")
    if [type(value[name]) for name in ("event", "head", "key", "signature")] != [str, list, str, str]:
        raise ValueError("it has a field of another type")
    return value


def bundle_member(digest: str) -> str:
    """Return the name of the member that holds a bundle."""
    return f"{BUNDLES}{digest}{SUFFIX}"


def _canonical(data: bytes) -> Any:
    value = strictjson.parse(data)
    if strictjson.dump(value) != data:
        raise ValueError("it is not canonical JSON")
    return value
