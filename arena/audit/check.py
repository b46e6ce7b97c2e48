"""Checks the file of a published event: everything is computed again from it, without a server or a database."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from arena.audit import contents
from arena.audit.archive import Archive, Member, read_archive
from arena.audit.contents import PublishedEntry
from arena.audit.page import Check, Page
from arena.audit.verses import check_verses
from arena.rules.chain import (
    START,
    Record,
    bundle_digest,
    compute_entry_id,
    find_fault,
    fingerprint,
    name_digest,
    salted,
    verse_digest,
)
from arena.rules.comparison import compare_ballots, compare_judgements, compare_voters
from arena.rules.facts import Ballots, EntryFacts, Facts
from arena.rules.rebuild import Impossible, podium, rebuild
from trainer.signatures import is_signed, is_signed_receipt
from trainer.verse import strictjson
from trainer.verse.text import pluralize

Progress = Callable[[int, int], None]  # verses written again so far, and all of them


@dataclass(frozen=True)
class Known:
    """What the auditor knows from elsewhere; None: nothing."""

    head: str | None = None  # the beginning of the head, from a photograph of the stage after the publication
    key: str | None = None  # the key, or its fingerprint
    receipts: Mapping[str, Mapping[str, Any]] | None = None  # by name of the file


def audit_file(path: Path, known: Known, jobs: int, progress: Progress | None = None) -> Page:
    """Audit the file of a published event.

    Args:
        path: what `arena export` wrote.
        known: what the auditor knows from elsewhere.
        jobs: verses written again at the same time.
        progress: called after each verse.

    Raises:
        OSError: The file cannot be read.
    """
    page = Page(f"Audit of {path.name}")
    archive = read_archive(path)
    data, faults = _members(archive)
    manifest = _parsed(contents.parse_manifest, contents.MANIFEST, data, faults)
    if manifest is not None:
        faults += _compare_members(manifest["members"], archive)
    count = pluralize(len(archive.members), "member")
    page.checks.append(Check("members of the file", f"{count}, each with its digest, and no byte besides", faults))
    problems: list[str] = []
    records = _parsed(contents.parse_log, contents.LOG, data, problems)
    entries = _parsed(contents.parse_entries, contents.ENTRIES, data, problems)
    ballots = _parsed(contents.parse_ballots, contents.BALLOTS, data, problems)
    judgements = _parsed(contents.parse_judgements, contents.JUDGEMENTS, data, problems)
    voters = _parsed(contents.parse_voters, contents.VOTERS, data, problems)
    if None in (manifest, records, entries, ballots, judgements, voters):
        page.checks.append(Check("contents", differences=problems or ["nothing more can be checked without them"]))
        return page
    page.title = f"Audit of {path.name}: “{manifest['event']}”"
    page.head = f"record {len(records)}, {records[-1].hash if records else START}"
    page.key = _fingerprint(manifest["key"])
    if (fault := find_fault(records)) is not None:
        page.checks.append(Check("chain of the log", differences=[f"record {fault.number} {fault.why}"]))
        return page
    page.checks.append(Check("chain of the log", f"{pluralize(len(records), 'record')}, none changed or missing"))
    try:
        facts = rebuild(records)
    except Impossible as error:
        page.checks.append(Check("states, draw and matches", differences=[str(error)]))
        return page
    _check_facts(page, facts, manifest, records)
    if facts.salt is None:
        return page
    page.checks.append(_check_entries(facts, entries, facts.salt))
    page.checks.append(_check_signatures(facts, entries, manifest))
    page.checks.append(_check_votes(facts, ballots, facts.salt))
    voted = {voter for cast in ballots.values() for voter, _, _ in cast} | {voter for voter, *_ in judgements}
    differences = [str(difference) for difference in compare_voters(facts, voters, voted)]
    if facts.event.admission == "tickets" or differences:
        page.checks.append(Check("voters", "each has a card that the log committed to", differences))
    differences = [str(difference) for difference in compare_judgements(facts, judgements, facts.salt)]
    if facts.event.heats == "closed":
        page.checks.append(Check("heats", f"{pluralize(len(judgements), 'judgement')} give every place", differences))
    page.checks.append(_check_results(facts, manifest, data.get(contents.RESULTS)))
    by_id = {entry.entry: entry for entry in entries}
    playing = [by_id[entry] for entry in facts.seeds() if entry in by_id]
    page.checks.append(check_verses(archive, playing, jobs, progress))
    _check_known(page, known, facts, records, manifest)
    page.unknown += _unknown(facts, entries, archive, known)
    return page


def _members(archive: Archive) -> tuple[dict[str, bytes], list[str]]:
    """Read the members that are texts."""
    data, faults = {}, list(archive.faults)
    for name, limit in contents.LIMITS.items():
        found = archive.read(name, limit)
        if found is not None:
            data[name] = found
        elif archive.find(name) is not None:
            faults.append(f"{name} has more bytes than such a member may have")
    if contents.README in data and data[contents.README] != contents.README_TEXT:
        faults.append(f"{contents.README} is another text")
    return data, faults


def _parsed(parse: Callable[[bytes], Any], name: str, data: Mapping[str, bytes], faults: list[str]) -> Any:
    """Parse a member; None, and a fault, where that is not possible."""
    if name not in data:
        faults.append(f"{name} is missing")
        return None
    try:
        return parse(data[name])
    except (ValueError, TypeError, KeyError) as error:
        faults.append(f"{name} cannot be read: {error}")
        return None


def _compare_members(listed: Sequence[Sequence[Any]], archive: Archive) -> Iterator[str]:
    """Compare the members that the manifest lists with those in the archive."""
    expected = {name: (size, digest) for name, size, digest in listed}
    found: dict[str, Member] = {}
    for member in archive.members:
        if member.name in found:
            yield f"{member.name!r} is in the file twice"
        found.setdefault(member.name, member)
    found.pop(contents.MANIFEST, None)
    missing = [name for name in expected if name not in found]
    for name, member in found.items():
        if name in expected:
            if (member.size, member.sha256) != expected[name]:
                yield f"{name!r} was changed: its bytes are not those that the manifest lists"
            continue
        before = next((other for other in missing if expected[other] == (member.size, member.sha256)), None)
        if before is not None:
            missing.remove(before)
            yield f"{before!r} was renamed to {name!r}"
        else:
            yield f"{name!r} was added"
    yield from (f"{name!r} is missing" for name in missing)
    order = [name for name in found if name in expected]
    if order != [name for name in expected if name in found]:
        yield "the members are in another order"


def _check_facts(page: Page, facts: Facts, manifest: Mapping[str, Any], records: Sequence[Record]) -> None:
    differences = []
    if facts.event.state != "published":
        differences.append(f"the log does not end with the publication: the event is {facts.event.state or 'unknown'}")
    if manifest["event"] != facts.event.name:
        differences.append("the manifest names another event than the log")
    if manifest["head"] != [len(records), records[-1].hash if records else START]:
        differences.append("the manifest has another head than the log")
    played = [match for match in facts.matches.values() if match.decided_by not in (None, "bye")]
    agrees = (
        f"{pluralize(len(facts.entries), 'entry', 'entries')}, {pluralize(len(facts.seeds()), 'verse')} drawn, "
        f"{pluralize(len(played), 'match', 'matches')}: each record can follow the ones before it"
    )
    page.checks.append(Check("states, draw and matches", agrees, differences))


def _check_entries(facts: Facts, entries: Sequence[PublishedEntry], salt: str) -> Check:
    differences = []
    times = Counter(entry.entry for entry in entries)
    absent = facts.entries.keys() - times.keys()
    differences += [f"entry {entry} is in the log and not in {contents.ENTRIES}" for entry in sorted(absent)]
    owners: dict[str, str] = {}
    for entry in entries:
        known = facts.entries.get(entry.entry)
        if known is None or times[entry.entry] > 1:
            differences.append(f"entry {entry.entry} is not in the log, or in {contents.ENTRIES} twice")
            continue
        differences += [f"entry {entry.entry}: {what}" for what in _entry_faults(entry, known, salt)]
        if known.state == "verified" and owners.setdefault(entry.owner, entry.entry) != entry.entry:
            differences.append(f"entry {entry.entry}: its owner has another verse that takes part")
    return Check("claims, authors and verses", f"{pluralize(len(entries), 'entry', 'entries')} as claimed", differences)


def _entry_faults(entry: PublishedEntry, known: EntryFacts, salt: str) -> Iterator[str]:
    if compute_entry_id(entry.owner, entry.claim) != entry.entry:
        yield "its id is not that of its owner and its claim"
    if salted(salt, "claim", entry.entry, entry.claim) != known.claim:
        yield "its claim is not the one in the log"
    if bundle_digest(salt, entry.entry, entry.bundle) != known.bundle:
        yield "its bundle is not the one in the log"
    if (entry.name is None) != (entry.key is None) or (entry.text is None) != (entry.prompt is None):
        yield "its author or its verse is half there"
    elif entry.name is not None and name_digest(entry.key or "", entry.name) != known.name:
        yield f"its author is not {entry.name!r}"
    elif entry.text is not None and verse_digest(salt, entry.entry, entry.text, entry.prompt or "") != known.verse:
        yield "its verse is not the one in the log"


def _check_signatures(facts: Facts, entries: Sequence[PublishedEntry], manifest: Mapping[str, Any]) -> Check:
    key, differences = manifest["key"], []
    if facts.receipt_key != key:
        differences.append("the key is not the one in the first record of the log")
    unsigned = {name: value for name, value in manifest.items() if name != "signature"}
    if not is_signed(key, strictjson.dump(unsigned), manifest["signature"]):
        differences.append(f"{contents.MANIFEST} does not have the signature of the key")
    for entry in entries:
        if (known := facts.entries.get(entry.entry)) is None:
            continue
        fields = {"entry": entry.entry, "claim": entry.claim, "received": known.claimed_at}
        if not is_signed(key, strictjson.dump(fields), entry.signature):
            differences.append(f"entry {entry.entry}: its receipt does not have the signature of the key")
    return Check("signatures", f"of the manifest and of {pluralize(len(entries), 'receipt')}", differences)


def _check_votes(facts: Facts, ballots: Ballots, salt: str) -> Check:
    differences = [str(difference) for difference in compare_ballots(facts, ballots, salt)]
    uncounted = ballots.keys() - facts.counted.keys()
    differences += [f"match {match}: ballots of a round that was not counted" for match, *_ in sorted(uncounted)]
    count = sum(map(len, ballots.values()))
    voters = len({voter for cast in ballots.values() for voter, _, _ in cast})
    agrees = f"{pluralize(count, 'ballot')} of {pluralize(voters, 'voter')} give every tally, tie and winner"
    return Check("votes", agrees, differences)


def _check_results(facts: Facts, manifest: Mapping[str, Any], data: bytes | None) -> Check:
    differences = [] if data == contents.dump_results(facts) else [f"{contents.RESULTS} is not what the log gives"]
    champion = podium(facts).champion
    return Check("results", f"the champion is entry {champion}" if champion else "there is no champion", differences)


def _check_known(
    page: Page, known: Known, facts: Facts, records: Sequence[Record], manifest: Mapping[str, Any]
) -> None:
    if known.head is not None:
        given = known.head.lower().replace(" ", "")
        numbers = [record.number for record in records if record.hash.startswith(given)]
        problem = [] if numbers and len(given) >= 16 else [f"no record of the log has the hash {given[:64]}"]
        page.checks.append(Check("head from the stage", f"it is record {numbers[0]}" if numbers else "", problem))
    if known.key is not None:
        given = known.key.lower().replace(" ", "")
        same = given in (manifest["key"], _fingerprint(manifest["key"]).replace(" ", ""))
        page.checks.append(Check("key from the stage", "the same", [] if same else ["the file has another key"]))
    if known.receipts:
        problems = [
            f"{name}: {why}" for name, receipt in known.receipts.items() if (why := _receipt_fault(receipt, facts))
        ]
        count = pluralize(len(known.receipts), "receipt")
        page.checks.append(Check("receipts of participants", f"{count}, signed and in the log", problems))


def _receipt_fault(receipt: Mapping[str, Any], facts: Facts) -> str:
    if not is_signed_receipt(facts.receipt_key or "", receipt):
        return "it does not have the signature of the key"
    entry = facts.entries.get(str(receipt.get("entry")))
    if entry is None:
        return "the log does not have its entry"
    if salted(facts.salt or "", "claim", entry.id, receipt["claim"]) != entry.claim:
        return "the log has another claim of its entry"
    return "" if entry.claimed_at == receipt["received"] else "the log has another time of its claim"


def _unknown(facts: Facts, entries: Sequence[PublishedEntry], archive: Archive, known: Known) -> Iterator[str]:
    if known.head is None:
        yield "That this log is the one the room saw: compare its head with a photograph of the stage (--head)."
    if known.key is None:
        yield "Whose key signed it: compare its fingerprint with the stage, or with a receipt (--key, --receipt)."
    hidden = sum(entry.name is None for entry in entries)
    if hidden:
        count = pluralize(hidden, "entry", "entries")
        yield f"Authors of {count} that did not play, were disqualified or wish no name: they are not published."
    by_id = {entry.entry: entry for entry in entries}
    playing = [contents.bundle_member(by_id[entry].bundle or "") for entry in facts.seeds() if entry in by_id]
    if absent := sum(archive.find(name) is None for name in playing):
        count = pluralize(absent, "verse")
        yield f"That {count} of the bracket can be written again: the file does not have the bundles."
    refused = sum(entry.state == "refused" for entry in facts.entries.values())
    if refused:
        count = pluralize(refused, "entry", "entries")
        yield f"That {count} had to be refused: refused bundles are not published."
    if facts.event.admission == "tickets":
        yield "Who holds which card, that each person had one card, and that nobody voted on an own verse."
    else:
        yield "That one person cast one vote only, or none on an own verse: voter ids are of secrets, not of people."
    yield "How a model was trained, and by whom: a bundle shows what it writes, not where it comes from."
    yield "When something happened: times are those of the organizer's clock."


def _fingerprint(key: str) -> str:
    try:
        return fingerprint(key)
    except ValueError:
        return "not a key"
