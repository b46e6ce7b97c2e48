"""Verses that are verified again: what would change is known first, and then changed if the organizer says so."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

from sqlalchemy import select

from arena.errors import EntryNotFound, QuotaReached
from arena.rules.lifecycle import Action
from arena.services.admission import check_place
from arena.services.events import require, the_event
from arena.services.log import append
from arena.services.verification import DECISIVE, decide, report_digest
from arena.store.schema import Entry, Verification
from arena.store.unit_of_work import Database
from arena.verification.report import Report

CHECKED = ("verified", "refused")  # states of entries that a check has led to


@dataclass(frozen=True)
class CheckedEntry:
    """An entry that was checked, as it was when the new check began."""

    entry: str
    name: str
    state: str
    bundle: str  # SHA-256 of the file
    text: str
    attempt: int

    def state_after(self, report: Report) -> str:
        """Return the state that a report leads to; the same as now, if the check could not be done."""
        if report.verdict not in DECISIVE:
            return self.state
        return "verified" if report.verdict == "PASS" and report.text == self.text else "refused"


def checked_entries(db: Database, entry_ids: Sequence[str] | None = None) -> list[CheckedEntry]:
    """Return entries that can be verified again, in the order of their claims.

    Args:
        db: the event's database.
        entry_ids: those that are meant; None: all.

    Raises:
        EntryNotFound: One was not checked, or its bundle is gone.
    """
    with db.reading() as session:
        query = select(Entry).where(Entry.state.in_(CHECKED), Entry.bundle.is_not(None))
        found = [
            CheckedEntry(row.id, row.name, row.state, row.bundle or "", row.text, row.attempt)
            for row in session.scalars(query.order_by(Entry.claimed_at, Entry.id))
            if entry_ids is None or row.id in entry_ids
        ]
    if missing := set(entry_ids or ()) - {one.entry for one in found}:
        raise EntryNotFound(sorted(missing)[0][:8])
    return found


def require_changeable(db: Database) -> None:
    """Check that a new verdict may change an entry: before the bracket is drawn.

    Raises:
        WrongState: The bracket is drawn.
    """
    with db.reading() as session:
        require(the_event(session), Action.VERIFY_AGAIN)


def record_recheck(db: Database, checked: CheckedEntry, report: Report, *, now: float) -> bool:
    """Record the result of a new check, and let it count.

    Args:
        db: the event's database.
        checked: the entry, as it was when the check began.
        report: the result.
        now: seconds since the epoch.

    Returns:
        False if the entry has changed meanwhile, or the check could not be done; then nothing changes.

    Raises:
        QuotaReached: All places are taken by others.
        WrongState: The bracket is drawn.
    """
    with db.writing() as session:
        event = the_event(session)
        require(event, Action.VERIFY_AGAIN)
        entry = session.get(Entry, checked.entry)
        if entry is None or (entry.state, entry.attempt, entry.bundle) != (
            checked.state,
            checked.attempt,
            checked.bundle,
        ):
            return False
        if report.verdict not in DECISIVE:
            return False
        after = checked.state_after(report)
        if after == "verified" != entry.state:
            check_place(session, event, entry.owner_id)
        entry.attempt += 1
        session.add(
            Verification(
                entry_id=entry.id,
                attempt=entry.attempt,
                worker="organizer",
                bundle=entry.bundle,
                started_at=now,
                ended_at=now,
                verdict=report.verdict,
                report=asdict(report),
            )
        )
        session.flush()
        if after != entry.state:
            decide(session, entry, report, now)
        else:
            data = {"entry": entry.id, "attempt": entry.attempt, **report_digest(session, entry.id, report)}
            append(session, "verified-again", data, now=now)
        return True


def record_rechecks(
    db: Database, results: Iterable[tuple[CheckedEntry, Report]], *, now: float
) -> tuple[int, list[str]]:
    """Record the results of new checks, each in a transaction of its own.

    Args:
        db: the event's database.
        results: entries as they were when their checks began, and what was found.
        now: seconds since the epoch.

    Returns:
        How many count, and for those that have no place any more a sentence each.

    Raises:
        WrongState: The bracket is drawn.
    """
    counted, problems = 0, []
    for checked, report in results:
        try:
            counted += record_recheck(db, checked, report, now=now)
        except QuotaReached as error:
            problems.append(f"entry {checked.entry[:8]} stays {checked.state}: {error}")
    return counted, problems
