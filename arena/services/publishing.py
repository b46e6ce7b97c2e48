"""Publishing: the end of an event, after everything in its tables was compared with its log."""

from __future__ import annotations

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from arena.errors import AnotherMatchOpen, EntriesPending, WrongState
from arena.rules.bracket import MIN_ENTRIES
from arena.rules.chain import log_salt
from arena.rules.lifecycle import UNDECIDED, Action
from arena.services.audit import check_tables
from arena.services.events import STATE_CHANGES, move, require, the_event, view_of
from arena.services.log import append, require_unchanged
from arena.services.schemas import EventView
from arena.store.schema import Entry, Event, Match
from arena.store.unit_of_work import Database


def publish(db: Database, *, seen: int | None = None, now: float) -> EventView:
    """Compare the tables with the log, count all votes again, and publish the event: everything about it is public.

    An event in which fewer than two verses were verified is published without a champion.

    Args:
        db: the event's database.
        seen: number of the log's latest record that the caller was shown; None: not checked.
        now: seconds since the epoch.

    Raises:
        AlreadyDone: The event has changed since the caller was shown it.
        AnotherMatchOpen: A match is open, such as the one for the third place.
        EntriesPending: There is no bracket, and entries have no verdict yet.
        TablesDiffer: The log and the votes do not give what the database holds.
        WrongState: There is no champion yet, or the event is published.
    """
    with db.writing() as session:
        event = the_event(session)
        require_unchanged(session, seen, STATE_CHANGES | {"match-undone": "a match was undone"})
        require(event, Action.PUBLISH)
        opened = session.scalar(select(Match.id).where(Match.state == "open").limit(1))
        if opened is not None:
            raise AnotherMatchOpen(opened)
        if event.state == "closed":
            _check_nothing_to_draw(session, event)
        check_tables(session)
        move(event, Action.PUBLISH, "published")
        append(session, "published", {"salt": log_salt(event.salt)}, now=now)
        return view_of(event)


def _check_nothing_to_draw(session: Session, event: Event) -> None:
    """Check that no bracket can come any more.

    Raises:
        EntriesPending: An entry has no verdict yet.
        WrongState: A bracket can be drawn.
    """
    taking_part = select(Entry.state, func.count()).where(Entry.held.is_(False)).group_by(Entry.state)
    counts = dict(session.execute(taking_part).all())
    if pending := sum(counts.get(state, 0) for state in UNDECIDED):
        raise EntriesPending(pending)
    if counts.get("verified", 0) >= MIN_ENTRIES:
        raise WrongState(Action.PUBLISH.value, event.state, "champion: draw the bracket first")
