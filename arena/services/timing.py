"""What is counted by the event's clock, and what happens where the computer's clock goes another way."""

from __future__ import annotations

from typing import Any, cast

from sqlalchemy import Table, func, select, update
from sqlalchemy.orm import Session

from arena.clock import TOLERANCE, EventClock
from arena.errors import ClocksAgree
from arena.rules.lifecycle import UNDECIDED
from arena.services.events import the_event
from arena.services.log import append, require_unchanged
from arena.store.schema import Entry, LogRecord, Match
from arena.store.unit_of_work import Database

CLOCK_CHANGES = {"clock-set": "the event's clock was set"}
_ENTRY = cast(Table, Entry.__table__)


def start_clock(db: Database, clock: EventClock) -> float:
    """Let the event's clock count by itself, as a server does when it starts.

    A clock that counts already goes on while something depends on it; otherwise the computer's time is taken. If that
    is before the log's latest record, as after a restart without a battery, what is counted keeps the time it had left.

    Args:
        db: the event's database.
        clock: the event's.

    Returns:
        Seconds by which times were moved; 0.0 as a rule.
    """
    with db.reading() as session:
        counting = _is_counting(session)
        latest = session.scalar(select(func.max(LogRecord.at))) or 0.0
    if clock.is_counting and counting:
        return 0.0
    clock.follow()
    back = clock() - latest
    if not counting or back >= -TOLERANCE:
        return 0.0
    with db.writing() as session:
        _move(session, back, deadlines=True)
        append(session, "clock-set", {"by": back, "kept": "time-left"}, now=clock())
    return back


def watch_clock(db: Database, clock: EventClock) -> float:
    """Compare the two clocks, as the server does every second. Where nothing is counted, take the computer's time.

    Args:
        db: the event's database.
        clock: the event's.

    Returns:
        Seconds by which the computer's clock is ahead and the organizer has to decide; 0.0 as a rule.
    """
    ahead = clock.ahead
    if not ahead:
        return 0.0
    with db.reading() as session:
        counting = _is_counting(session)
        latest = session.scalars(
            select(LogRecord.data)
            .where(LogRecord.kind.in_(("clock-differs", "clock-set")))
            .order_by(LogRecord.number.desc())
            .limit(1)
        ).first()
    if not counting:
        _follow(db, clock, deadlines=True)  # of a match that is opened in this instant
        return 0.0
    if latest is None or not _is_same(latest, ahead):
        with db.writing() as session:
            append(session, "clock-differs", {"ahead": ahead}, now=clock())
    return ahead


def follow_computer(db: Database, clock: EventClock, *, keep_time_left: bool, seen: int | None = None) -> float:
    """Take the computer's time for the event's.

    Args:
        db: the event's database.
        clock: the event's.
        keep_time_left: move every closing time, so that as much time is left as before; otherwise they stay the times
            of day that they are, and what is due by the computer's clock closes at once.
        seen: number of the log's latest record that the caller was shown; None: not checked.

    Returns:
        Seconds by which the event's clock was moved.

    Raises:
        AlreadyDone: The clock was set since the caller was shown it.
        ClocksAgree: There is nothing to decide.
    """
    with db.reading() as session:
        require_unchanged(session, seen, CLOCK_CHANGES)
    if not clock.ahead:
        raise ClocksAgree
    return _follow(db, clock, deadlines=keep_time_left)


def _follow(db: Database, clock: EventClock, *, deadlines: bool) -> float:
    """Set the clock and move times, in the order in which nothing is due in between."""
    ahead = clock.ahead
    if ahead < 0:
        clock.follow()
    with db.writing() as session:
        _move(session, ahead, deadlines=deadlines)
        kept = "time-left" if deadlines else "times-of-day"
        append(session, "clock-set", {"by": ahead, "kept": kept}, now=clock.computer)
    if ahead > 0:
        clock.follow()
    return ahead


def _move(session: Session, by: float, *, deadlines: bool) -> None:
    """Move the times that are still to come. Leases and waiting times are lengths in any case.

    Args:
        session: a writing transaction.
        by: seconds.
        deadlines: move closing times, too.
    """
    for name in ("lease_until", "not_before", "heard_at"):
        column = _ENTRY.c[name]
        session.execute(update(_ENTRY).where(_ENTRY.c.state.in_(UNDECIDED), column > 0).values({name: column + by}))
    if not deadlines:
        return
    event = the_event(session)
    rows: list[tuple[Any, tuple[str, ...]]] = [
        (match, ("votes_from", "closes_at", "paused_at"))
        for match in session.scalars(select(Match).where(Match.state == "open"))
    ]
    rows.append((event, ("practice_at", "practice_closes_at")))
    if event.state in ("draft", "open"):
        rows.append((event, ("closes_at",)))
    if event.state == "closed":
        rows.append((event, ("grace_ends_at",)))
    for row, names in rows:
        for name in names:
            if getattr(row, name) is not None:
                setattr(row, name, getattr(row, name) + by)
    session.flush()


def _is_counting(session: Session) -> bool:
    """Whether something closes by the clock."""
    event = the_event(session)
    submissions = event.state in ("draft", "open") and event.closes_at is not None
    grace = event.state == "closed" and event.grace_ends_at is not None and _has_pending(session)
    match = session.scalar(select(Match.id).where(Match.state == "open").limit(1)) is not None
    return submissions or grace or match or event.practice_closes_at is not None


def _has_pending(session: Session) -> bool:
    return session.scalar(select(Entry.id).where(Entry.state.in_(UNDECIDED)).limit(1)) is not None


def _is_same(data: str, ahead: float) -> bool:
    """Whether a record says that the clock is as far ahead as it is now."""
    from trainer.verse import strictjson

    told = strictjson.parse(data.encode()).get("ahead")
    return isinstance(told, int | float) and abs(told - ahead) <= TOLERANCE
