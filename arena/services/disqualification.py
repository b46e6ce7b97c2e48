"""Disqualification: entries are taken out of the event and reinstated, one or many at once."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy.orm import Session

from arena.errors import EntryNotFound, NotDisqualified, QuotaReached, WrongState
from arena.rules.lifecycle import LIVE, Action, is_drawn
from arena.services.admission import check_place
from arena.services.bracket import settle
from arena.services.digests import digest_of_reason
from arena.services.entries import may_reinstate
from arena.services.events import clean_name, require, the_event
from arena.services.log import append, require_unchanged
from arena.services.verification import enqueue, replace_earlier
from arena.store.schema import Entry, Event
from arena.store.unit_of_work import Database

ENTRY_CHANGES = {  # kinds of log records that change an entry, in words
    "entry-disqualified": "this entry was disqualified",
    "entry-reinstated": "this entry was let in again",
    "entry-withdrawn": "this entry was withdrawn",
    "entry-replaced": "this entry was replaced",
}
DISQUALIFIABLE = LIVE  # states of entries
REINSTATABLE = ("disqualified",)
MAX_REASON = 200  # characters of a disqualification's reason


def disqualify(db: Database, entry_id: str, reason: str, *, seen: int | None = None, now: float) -> None:
    """Disqualify an entry. The other side wins its open or next match.

    Args:
        db: the event's database.
        entry_id: the entry.
        reason: one line, which its owner reads.
        seen: number of the log's latest record that the caller was shown; None: not checked.
        now: seconds since the epoch.

    Raises:
        AlreadyDone: The entry has changed since the caller was shown it.
        EntryNotFound: There is none.
        BadName: The reason is not one line of 1 to 200 characters.
        WrongState: The entry does not take part, or the event is over.
    """
    reason = clean_name(reason, MAX_REASON, "a reason")
    with db.writing() as session:
        event, entry = _entry(session, entry_id, Action.DISQUALIFY, seen)
        if entry.state == "disqualified":
            return
        if entry.state not in DISQUALIFIABLE:
            raise WrongState("disqualifying this verse", event.state, "one that it is still in")
        _disqualify(session, entry, reason, now)
        settle(session, event, Action.DISQUALIFY, now)


def disqualify_all(db: Database, entry_ids: Iterable[str], reason: str, *, now: float) -> list[str]:
    """Disqualify many entries in one transaction.

    Args:
        db: the event's database.
        entry_ids: the entries; those that have left the event meanwhile stay as they are.
        reason: one line, which their owners read.
        now: seconds since the epoch.

    Returns:
        The entries that were disqualified.

    Raises:
        BadName: The reason is not one line of 1 to 200 characters.
        WrongState: The event is over.
    """
    reason = clean_name(reason, MAX_REASON, "a reason")
    with db.writing() as session:
        event = the_event(session)
        require(event, Action.DISQUALIFY)
        entries = [
            entry for entry_id in entry_ids if (entry := session.get(Entry, entry_id)) and entry.state in DISQUALIFIABLE
        ]
        for entry in entries:
            _disqualify(session, entry, reason, now)
        settle(session, event, Action.DISQUALIFY, now)
        return [entry.id for entry in entries]


def reinstate(db: Database, entry_id: str, *, seen: int | None = None, now: float) -> str:
    """Reinstate a disqualified entry, and resolve the bracket again.

    An entry without a verdict waits for its check again, or for its bytes. If its owner has entered a later verse that
    was verified, that one stays.

    Args:
        db: the event's database.
        entry_id: the entry.
        seen: number of the log's latest record that the caller was shown; None: not checked.
        now: seconds since the epoch.

    Returns:
        Its new state.

    Raises:
        AlreadyDone: The entry has changed since the caller was shown it.
        EntryNotFound: There is none.
        NotDisqualified: It is not disqualified.
        QuotaReached: All places of the event are taken.
        WrongState: The bracket was drawn without it, or the event is over.
    """
    with db.writing() as session:
        event, entry = _entry(session, entry_id, Action.REINSTATE, seen)
        _reinstate(session, event, entry, now)
        settle(session, event, Action.REINSTATE, now)
        return entry.state


def reinstate_all(db: Database, entry_ids: Iterable[str], *, now: float) -> list[str]:
    """Reinstate many entries in one transaction.

    Args:
        db: the event's database.
        entry_ids: the entries; those that cannot be reinstated stay as they are.
        now: seconds since the epoch.

    Returns:
        The entries that were reinstated.

    Raises:
        WrongState: The event is over.
    """
    with db.writing() as session:
        event = the_event(session)
        require(event, Action.REINSTATE)
        done = []
        for entry_id in entry_ids:
            entry = session.get(Entry, entry_id)
            try:
                if entry is not None:
                    _reinstate(session, event, entry, now)
                    done.append(entry_id)
            except (NotDisqualified, WrongState, QuotaReached):
                continue
        settle(session, event, Action.REINSTATE, now)
        return done


def _entry(session: Session, entry_id: str, action: Action, seen: int | None) -> tuple[Event, Entry]:
    """Return the event and an entry that has not changed, if the event's state allows the action."""
    event = the_event(session)
    require_unchanged(session, seen, ENTRY_CHANGES, entry=entry_id)
    require(event, action)
    entry = session.get(Entry, entry_id)
    if entry is None:
        raise EntryNotFound
    return event, entry


def _disqualify(session: Session, entry: Entry, reason: str, now: float) -> None:
    entry.state, entry.code, entry.reason, entry.lease_until = "disqualified", "disqualified", reason, None
    data = {"entry": entry.id, "reason": digest_of_reason(session, entry)}
    append(session, "entry-disqualified", data, now=now)


def _reinstate(session: Session, event: Event, entry: Entry, now: float) -> None:
    """Reinstate an entry, or raise before anything is written."""
    if entry.state != "disqualified":
        raise NotDisqualified
    if not may_reinstate(event, entry):
        raise WrongState("reinstating this verse", event.state, "one whose bracket has it, or has none yet")
    drawn = is_drawn(event.state)
    if not drawn:
        check_place(session, event, entry.owner_id)
    entry.code = entry.reason = None
    state = "verified" if entry.verdict == "PASS" else "receiving" if entry.bundle is None else "waiting"
    append(session, "entry-reinstated", {"entry": entry.id, "state": state}, now=now)
    if state == "verified":
        entry.state = state
        session.flush()
        if not drawn:
            replace_earlier(session, entry, now)
    elif state == "waiting":
        enqueue(session, entry, now=now)
    else:
        entry.state, entry.received, entry.heard_at = state, entry.header_bytes, now  # its part was removed
    session.flush()
