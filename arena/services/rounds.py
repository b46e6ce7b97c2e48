"""All matches of a round open at once, and the clock of the open matches: it stands, and goes on."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from arena.errors import AnotherMatchOpen, BadSetting, NoMatchReady, NothingOpen
from arena.rules.lifecycle import Action
from arena.rules.timetable import round_vote_seconds
from arena.services.bracket import MATCH_CHANGES, MAX_SECONDS, start_match, times_of, vote_length
from arena.services.bracket_view import BracketView
from arena.services.events import require, the_event
from arena.services.log import append, require_unchanged
from arena.services.schemas import MatchView
from arena.store.schema import LogRecord, Match
from arena.store.unit_of_work import Database

RETURN_SECONDS = 10.0  # that phones take to come back to a server that starts again
ANY_CHANGE = {kind: words.format(match="a match") for kind, words in MATCH_CHANGES.items()}


def open_round(db: Database, *, seconds: float | None = None, seen: int | None = None, now: float) -> list[MatchView]:
    """Open the vote on all matches of the next round that are ready. The match for the third place and the final are
    played one after another.

    Args:
        db: the event's database.
        seconds: the length of the votes; None: as the rules say, and enough for phones to show all; 0: until they are
            closed by hand.
        seen: number of the log's latest record that the caller was shown; None: not checked.
        now: seconds since the epoch.

    Returns:
        The matches opened.

    Raises:
        AlreadyDone: A match has changed since the caller was shown it.
        AnotherMatchOpen: A match is open.
        BadSetting: The length is out of bounds.
        NoMatchReady: No match has two entries and no result.
        WrongState: The bracket is not drawn, or the event is over.
    """
    with db.writing() as session:
        event = the_event(session)
        require_unchanged(session, seen, ANY_CHANGE)
        require(event, Action.OPEN_MATCH)
        if opened := _open_matches(session):
            raise AnotherMatchOpen(opened[0].id)
        ready = session.scalars(
            select(Match)
            .where(Match.state == "pending", Match.upper_id.is_not(None), Match.lower_id.is_not(None))
            .order_by(Match.position)
        ).all()
        if not ready:
            raise NoMatchReady
        chosen = [match for match in ready if (match.round, match.kind) == (ready[0].round, ready[0].kind)]
        usual = round_vote_seconds(len(chosen), event.match_seconds)
        length = vote_length(event, usual if seconds is None else seconds)
        for match in chosen:
            start_match(session, event, match, length, now)
        view = BracketView.load(session, now)
        return [view.find(match.id) for match in chosen]


def close_round(db: Database, *, seen: int | None = None, now: float) -> list[MatchView]:
    """Take no more votes on the open matches. `bracket.close_due` then counts one after another.

    Args:
        db: the event's database.
        seen: number of the log's latest record that the caller was shown; None: not checked.
        now: seconds since the epoch.

    Returns:
        The matches whose votes are to be counted.

    Raises:
        AlreadyDone: A match has changed since the caller was shown it.
        NothingOpen: No match is open.
        WrongState: The bracket is not drawn, or the event is over.
    """
    with db.writing() as session:
        opened = _opened(session, seen, "close")
        for match in opened:
            if match.paused_at is not None or match.closes_at is None or match.closes_at > now:
                match.closes_at = min(now, match.closes_at or now)
                match.paused_at = None
                append(session, "match-time-set", times_of(match), now=now)
        session.flush()
        view = BracketView.load(session, now)
        return [view.find(match.id) for match in opened]


def extend(db: Database, seconds: float, *, seen: int | None = None, now: float) -> list[MatchView]:
    """Give the open matches more time, those whose votes close by the clock.

    Args:
        db: the event's database.
        seconds: added to what is left.
        seen: number of the log's latest record that the caller was shown; None: not checked.
        now: seconds since the epoch.

    Returns:
        The matches with more time.

    Raises:
        AlreadyDone: A match has changed since the caller was shown it.
        BadSetting: The time is out of bounds.
        NothingOpen: No match is open that closes by the clock.
        WrongState: The bracket is not drawn, or the event is over.
    """
    if not 0 < seconds <= MAX_SECONDS:
        raise BadSetting(f"a match gets 0 to {MAX_SECONDS:,.0f} seconds more, not {seconds:g}")
    with db.writing() as session:
        timed = [match for match in _opened(session, seen, "extend") if match.closes_at is not None]
        if not timed:
            raise NothingOpen("extend")
        for match in timed:
            start = match.paused_at or now
            match.closes_at = max(match.closes_at or 0.0, start) + seconds
            append(session, "match-time-set", times_of(match), now=now)
        session.flush()
        view = BracketView.load(session, now)
        return [view.find(match.id) for match in timed]


def pause(db: Database, *, seen: int | None = None, now: float) -> list[MatchView]:
    """Stop the clock of the open matches. What is read before the vote is still read; a vote that runs takes votes.

    Args:
        db: the event's database.
        seen: number of the log's latest record that the caller was shown; None: not checked.
        now: seconds since the epoch.

    Returns:
        The matches that stand still.

    Raises:
        AlreadyDone: A match has changed since the caller was shown it.
        NothingOpen: No match is open whose clock runs.
        WrongState: The bracket is not drawn, or the event is over.
    """
    with db.writing() as session:
        running = [match for match in _opened(session, seen, "pause") if match.paused_at is None and _runs(match, now)]
        if not running:
            raise NothingOpen("pause")
        for match in running:
            match.paused_at = now
            append(session, "match-paused", {"match": match.id, "poll": match.poll}, now=now)
        session.flush()
        view = BracketView.load(session, now)
        return [view.find(match.id) for match in running]


def pause_unserved(
    db: Database, *, restarted: bool = False, away: tuple[float, float] | None = None, now: float
) -> list[MatchView]:
    """Stop the clock of the open matches when a server or its database is back, if phones could not vote meanwhile.

    This holds for a match that would close within seconds, and after a restart of the computer for every one. It stands
    with the time that it had left when phones could vote last, until the organizer lets it go on.

    Args:
        db: the event's database.
        restarted: whether the computer has started again since a server counted the event's time.
        away: when the database was seen last and when it was missed, seconds since the epoch; None: the server was
            away, since the log's latest record. A match that was changed after that is served again.
        now: seconds since the epoch.

    Returns:
        The matches that stand still.
    """
    with db.writing() as session:
        records = select(func.max(LogRecord.at))
        if away is None:
            since = min(now, session.scalar(records) or now)
        else:
            changed_at = session.scalar(records.where(LogRecord.kind.in_(MATCH_CHANGES))) or 0.0
            since = max(away[0], changed_at)
            if changed_at > away[1]:
                return []
        unserved = [
            match
            for match in _open_matches(session)
            if match.paused_at is None and _runs(match, since)
            if restarted or (match.closes_at is not None and match.closes_at <= now + RETURN_SECONDS)
        ]
        for match in unserved:
            match.paused_at = since
            append(session, "match-paused", {"match": match.id, "poll": match.poll, "since": since}, now=now)
        session.flush()
        view = BracketView.load(session, now)
        return [view.find(match.id) for match in unserved]


def resume(db: Database, *, seen: int | None = None, now: float) -> list[MatchView]:
    """Let the clock of the paused matches go on; each has the time that it had left.

    Args:
        db: the event's database.
        seen: number of the log's latest record that the caller was shown; None: not checked.
        now: seconds since the epoch.

    Returns:
        The matches whose clock goes on.

    Raises:
        AlreadyDone: A match has changed since the caller was shown it.
        NothingOpen: No match is paused.
        WrongState: The bracket is not drawn, or the event is over.
    """
    with db.writing() as session:
        paused = [match for match in _opened(session, seen, "resume") if match.paused_at is not None]
        if not paused:
            raise NothingOpen("resume")
        for match in paused:
            stood = now - (match.paused_at or now)
            match.votes_from = match.votes_from and match.votes_from + stood
            match.closes_at = match.closes_at and match.closes_at + stood
            match.paused_at = None
            append(session, "match-resumed", times_of(match), now=now)
        session.flush()
        view = BracketView.load(session, now)
        return [view.find(match.id) for match in paused]


def _runs(match: Match, now: float) -> bool:
    """Whether a clock of the match runs: that of the reading or that of the vote."""
    return (match.votes_from or 0.0) > now or (match.closes_at or 0.0) > now


def _open_matches(session: Session) -> Sequence[Match]:
    return session.scalars(select(Match).where(Match.state == "open").order_by(Match.position)).all()


def _opened(session: Session, seen: int | None, what: str) -> Sequence[Match]:
    """Return the open matches, if no match has changed since the caller was shown them.

    Args:
        session: a writing transaction.
        seen: number of the log's latest record that the caller was shown; None: not checked.
        what: is to be done, for an error message.

    Raises:
        NothingOpen: None is open.
    """
    require_unchanged(session, seen, ANY_CHANGE)
    require(the_event(session), Action.SET_MATCH_TIME)
    if not (opened := _open_matches(session)):
        raise NothingOpen(what)
    return opened
