"""Entries: their owners follow and withdraw them, and late ones expire."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import false, select
from sqlalchemy.orm import Session

from arena.errors import EntryNotFound, NotReceiving, SubmissionsClosed, SubmissionsNotOpen, WrongState
from arena.phrases import phrase
from arena.rules.lifecycle import LIVE, Action, allows, is_drawn, is_grace_over, state_at
from arena.services.admission import check_open, count_change
from arena.services.digests import digest_of_reason
from arena.services.events import the_event
from arena.services.identity import Identity, identify
from arena.services.log import append
from arena.services.schemas import EntryStatus
from arena.services.verification import queue_places
from arena.store.schema import Entry, Event
from arena.store.unit_of_work import Database

IDLE_SECONDS = 900.0  # without bytes, until a claim expires while submissions are open


def entry_status(db: Database, entry_id: str, secret: str, *, now: float) -> EntryStatus:
    """Return the status of an entry, for its owner.

    Args:
        db: the event's database.
        entry_id: the entry.
        secret: that of the person who asks.
        now: seconds since the epoch.

    Raises:
        BadSecret: The secret has the wrong form.
        EntryNotFound: There is none, or it is somebody else's.
    """
    with db.reading() as session:
        entry = own_entry(session, entry_id, identify(session, secret))
        return _status(session, the_event(session), entry, now)


def entries_of(db: Database, secret: str, *, now: float) -> list[EntryStatus]:
    """Return the status of all entries of one owner, the latest claim first.

    Args:
        db: the event's database.
        secret: the owner's.
        now: seconds since the epoch.

    Raises:
        BadSecret: The secret has the wrong form.
    """
    with db.reading() as session:
        owner_id = identify(session, secret).owner_id
        event = the_event(session)
        query = select(Entry).where(Entry.owner_id == owner_id).order_by(Entry.claimed_at.desc(), Entry.id)
        return [_status(session, event, entry, now) for entry in session.scalars(query)]


def own_entry(session: Session, entry_id: str, identity: Identity) -> Entry:
    """Return an entry of whoever is asking; `EntryNotFound` where it is not theirs."""
    entry = session.get(Entry, entry_id)
    if entry is None or entry.owner_id != identity.owner_id:
        raise EntryNotFound
    return entry


def own_receiving(session: Session, entry_id: str, identity: Identity, now: float) -> Entry:
    """Return an entry of whoever is asking that takes pieces now.

    Args:
        session: any transaction.
        entry_id: the entry.
        identity: who asks.
        now: seconds since the epoch.

    Raises:
        EntryNotFound: There is none, or it is somebody else's.
        NotReceiving: The entry has all its bytes, or has left the event.
    """
    entry = own_entry(session, entry_id, identity)
    if entry.state != "receiving":
        raise NotReceiving(entry.state)
    if is_grace_over(the_event(session), now):
        raise NotReceiving("expired")
    return entry


def check_receiving(db: Database, entry_id: str, secret: str, *, now: float) -> None:
    """Refuse a piece, whatever it holds, of an entry that takes none now.

    Args:
        db: the event's database.
        entry_id: the entry.
        secret: that of the person who asks.
        now: seconds since the epoch.

    Raises:
        BadSecret: The secret has the wrong form.
        EntryNotFound: There is none, or it is somebody else's.
        NotReceiving: The entry has all its bytes, or has left the event.
    """
    with db.reading() as session:
        own_receiving(session, entry_id, identify(session, secret), now)


def withdraw(db: Database, entry_id: str, secret: str, *, now: float) -> EntryStatus:
    """Withdraw an entry, before the bracket is drawn.

    Args:
        db: the event's database.
        entry_id: the entry.
        secret: that of the person who asks.
        now: seconds since the epoch.

    Returns:
        The entry's new status.

    Raises:
        BadSecret: The secret has the wrong form.
        EntryNotFound: There is none, or it is somebody else's.
        QuotaReached: The owner has changed entries too often.
        WrongState: The bracket is drawn, or the entry has left the event.
    """
    with db.writing() as session:
        event, entry = the_event(session), own_entry(session, entry_id, identify(session, secret))
        if entry.state != "withdrawn":
            if not _may_withdraw(event, entry):
                raise WrongState(Action.WITHDRAW.value, event.state, "open or closed, and the verse still in")
            count_change(session, event, entry.owner_id)
            entry.state, entry.code, entry.reason, entry.lease_until = "withdrawn", None, None, None
            append(session, "entry-withdrawn", {"entry": entry_id, "reason": None}, now=now)
        return _status(session, event, entry, now)


def expire_claims(db: Database, *, now: float) -> int:
    """Let claims expire whose tensors did not follow within the grace time; return how many.

    While submissions are open, those expire of which nothing has arrived for a while: others need their places and
    their bytes of the disk. They may be claimed again. After the closing, a claim waits until the grace time ends.
    """

    def late(session: Session) -> Any:
        event = the_event(session)
        receiving = select(Entry).where(Entry.state == "receiving")
        if state_at(event, now) == "open":
            return receiving.where(Entry.heard_at < now - IDLE_SECONDS)
        return receiving if is_grace_over(event, now) else receiving.where(false())

    with db.reading() as session:
        if session.scalars(late(session).limit(1)).first() is None:
            return 0
    with db.writing() as session:
        is_open = state_at(the_event(session), now) == "open"
        entries = session.scalars(late(session)).all()
        for entry in entries:
            entry.reason = f"no bytes arrived for {IDLE_SECONDS / 60:.0f} minutes: submit it again" if is_open else None
        return expire(session, entries, now=now)


def expire(session: Session, entries: Sequence[Entry], *, now: float) -> int:
    """Let entries expire.

    Args:
        session: a writing transaction.
        entries: those that expire.
        now: seconds since the epoch.

    Returns:
        Their number.
    """
    for entry in entries:
        entry.state, entry.lease_until = "expired", None
        data = {"entry": entry.id, "received": entry.received, "reason": digest_of_reason(session, entry)}
        append(session, "entry-expired", data, now=now)
    return len(entries)


def may_reinstate(event: Event, entry: Entry) -> bool:
    """Whether a disqualified entry can take part again: it is in the bracket if there is one, or was in the heats."""
    in_bracket = entry.seed is not None or entry.heat_place is not None or not is_drawn(event.state)
    return allows(event.state, Action.REINSTATE) and entry.state == "disqualified" and in_bracket


def is_out_by_heats(event: Event, entry: Entry) -> bool:
    """Whether the bracket was drawn without a verse because of its place in the heats."""
    return event.drawn_at is not None and entry.seed is None and entry.heat_place is not None


def reason_of(event: Event, entry: Entry, place: int | None) -> str:
    """Describe an entry's state in one sentence, which may hold untrusted text.

    Args:
        event: the event.
        entry: the entry.
        place: in the queue of checks, while it waits.
    """
    match entry.state:
        case "receiving":
            return phrase(
                "%(received)s of %(size)s bytes have arrived, and the rest must follow",
                received=entry.received,
                size=entry.size,
            )
        case "waiting" if entry.failures:
            return phrase(
                "the check could not be done and will be tried again; that is a fault of the server, not yours"
            )
        case "waiting":
            ahead = (place or 1) - 1
            return (
                phrase("the upload is complete; %(ahead)s to check before it", ahead=ahead)
                if ahead
                else phrase("the upload is complete; it is checked next")
            )
        case "verifying":
            return phrase("the server writes the verse again and compares the two texts")
        case "verified" if entry.held:
            return phrase("the server wrote exactly the same verse; the organizer holds it back: ask there")
        case "verified" if is_out_by_heats(event, entry):
            return phrase(
                "it came to place %(place)s in the heats; the bracket is played by those before it",
                place=entry.heat_place,
            )
        case "verified":
            return phrase("the server wrote exactly the same verse")
        case "expired":
            return entry.reason or phrase("the upload was not complete when the grace time ended")
        case "replaced":
            return phrase("a later verse of yours replaced it")
        case "withdrawn":
            return phrase("you withdrew it")
        case _:
            return entry.reason or phrase("it does not take part")


def _may_withdraw(event: Event, entry: Entry) -> bool:
    return entry.state in LIVE and allows(event.state, Action.WITHDRAW)


def _may_replace(session: Session, event: Event, owner: str, now: float) -> bool:
    try:
        check_open(session, event, owner, now)
    except (SubmissionsClosed, SubmissionsNotOpen):
        return False
    return True


def _status(session: Session, event: Event, entry: Entry, now: float) -> EntryStatus:
    place = queue_places(session).get(entry.id) if entry.state == "waiting" else None
    return EntryStatus(
        entry=entry.id,
        name=entry.name,
        state=entry.state,
        received=entry.received,
        size=entry.size,
        place=place,
        verdict=entry.verdict,
        code=entry.code,
        reason=reason_of(event, entry, place),
        heat_place=entry.heat_place if is_out_by_heats(event, entry) else None,
        text=entry.text,
        prompt=entry.prompt,
        claimed_at=entry.claimed_at,
        may_replace=_may_replace(session, event, entry.owner_id, now),
        may_withdraw=_may_withdraw(event, entry),
    )
