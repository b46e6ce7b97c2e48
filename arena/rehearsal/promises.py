"""The promises of a server, compared with its database and its files, during a rehearsal or at its end."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field

from sqlalchemy import select

from arena.bootstrap import EventContext
from arena.errors import LogBroken
from arena.rehearsal.ledger import Attempt, Ballot, Claimed, Ledger, possible_labels
from arena.rules.lifecycle import GIVEN_UP
from arena.services.log import verify_log
from arena.store.schema import Entry, Vote

LABELS = {"upper": "A", "lower": "B"}  # of the sides of a match, on every screen


@dataclass
class Comparison:
    """What was compared, and what differs."""

    votes: int = 0  # acknowledged
    counted: int = 0  # of these, in the database as they were acknowledged
    unsure: int = 0  # votes in the database whose sender has no confirmation
    entries: int = 0  # acknowledged
    records: int = 0  # of the log
    broken: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Known:
    """A copy of a ledger, made before the database is read."""

    votes: dict[tuple[Ballot, str], list[Attempt]]
    entries: list[Claimed]

    @classmethod
    def of(cls, ledger: Ledger) -> Known:
        """Copy a ledger, in the thread that changes it."""
        votes = {
            key: [Attempt(one.label, one.sent, one.ended, one.acknowledged) for one in attempts]
            for key, attempts in ledger.votes.items()
        }
        return cls(votes, list(ledger.entries.values()))


def compare(event: EventContext, known: Known, *, final: bool = True) -> Comparison:
    """Compare what was acknowledged with what is there.

    Args:
        event: the event, opened.
        known: what the clients knew before.
        final: whether all clients have ended. If not, votes that were sent meanwhile may be there too.

    Returns:
        What was found.
    """
    comparison = Comparison()
    _compare_votes(event, known, final, comparison)
    _compare_entries(event, known.entries, comparison)
    comparison.broken += bundle_faults(event)
    try:
        comparison.records = verify_log(event.db)
    except LogBroken as error:
        comparison.broken.append(f"the log: {error}")
    return comparison


def _compare_votes(event: EventContext, known: Known, final: bool, comparison: Comparison) -> None:
    with event.db.reading() as session:
        rows = session.execute(select(Vote.match_id, Vote.poll, Vote.poll_round, Vote.voter_id, Vote.choice)).all()
    stored = {(Ballot(row.match_id, row.poll, row.poll_round), row.voter_id): LABELS[row.choice] for row in rows}
    if len(stored) != len(rows):
        comparison.broken.append("somebody has two votes in one round of a poll")
    for key, attempts in known.votes.items():
        acknowledged = any(one.acknowledged for one in attempts)
        comparison.votes += acknowledged
        label = stored.get(key)
        if label in possible_labels(attempts):
            comparison.counted += acknowledged and label is not None
            comparison.unsure += not acknowledged and label is not None
        elif final or label is None:  # a vote that was just changed may show the later choice
            where = f"the vote of {key[1][:8]} in {key[0].match}, poll {key[0].poll}, round {key[0].poll_round}"
            comparison.broken.append(f"{where} was acknowledged, and the database has {label or 'none'}")
    if final:
        for ballot, voter in stored.keys() - known.votes.keys():
            comparison.broken.append(f"nobody sent the vote of {voter[:8]} in {ballot.match}")


def _compare_entries(event: EventContext, entries: Iterable[Claimed], comparison: Comparison) -> None:
    with event.db.reading() as session:
        rows = {
            row.id: row
            for row in session.execute(select(Entry.id, Entry.state, Entry.received, Entry.size, Entry.bundle))
        }
    for claimed in entries:
        comparison.entries += 1
        row = rows.get(claimed.entry)
        if row is None:
            comparison.broken.append(f"entry {claimed.entry[:8]} was acknowledged, and is not there")
        elif claimed.complete and row.state not in GIVEN_UP and (row.received, bool(row.bundle)) != (row.size, True):
            comparison.broken.append(f"all of entry {claimed.entry[:8]} was acknowledged, and it is {row.state}")


def bundle_faults(event: EventContext) -> list[str]:
    """Return what is wrong with stored bundles: bytes that are not what the name says, or entries without a bundle."""
    faults = []
    with event.db.reading() as session:
        needed = {digest for digest in session.scalars(select(Entry.bundle)) if digest is not None}
    stored = {one.digest for one in event.bundles.stored()}
    for digest in sorted(stored):
        try:
            with event.bundles.local_copy(digest).open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except FileNotFoundError:
            continue
        if found != digest:
            faults.append(f"bundle {digest[:12]} has other bytes than its name says")
    faults += [f"bundle {digest[:12]} of an entry is not there" for digest in sorted(needed - stored)]
    return faults
