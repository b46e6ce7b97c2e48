"""The matches of the bracket: they are opened, closed and undone.

Nobody edits who meets whom. `rules.play.settle_rows` computes it from the decisions so far, and `settle` writes what
has changed after a closed match, a disqualification or an undone decision.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from arena.errors import (
    AnotherMatchOpen,
    BadSetting,
    MatchDecided,
    MatchNotFound,
    MatchNotOpen,
    MatchNotReady,
    NobodyVoted,
    NothingToUndo,
)
from arena.rules.bracket import VOTED
from arena.rules.chain import log_salt
from arena.rules.lifecycle import Action, EventState, is_closing_due
from arena.rules.play import count_round, is_final_closed, open_poll, settle_rows, undo_poll
from arena.rules.tally import Tally, outcome
from arena.rules.timetable import REVEAL_SECONDS
from arena.services.bracket_view import BracketView, read_podium
from arena.services.entries import expire_claims
from arena.services.events import close, move, require, the_event
from arena.services.log import append, require_unchanged
from arena.services.practice import end_practice
from arena.services.schemas import MatchResult, MatchView
from arena.services.voting import digest_of_votes
from arena.store.schema import Entry, Event, Match, Vote
from arena.store.unit_of_work import Database

MATCH_CHANGES = {  # kinds of log records that change a match, in words
    "match-opened": "{match} was opened",
    "match-time-set": "the time of {match} was changed",
    "votes-counted": "the votes of {match} were counted",
    "match-settled": "the result of {match} changed",
    "match-undone": "{match} was undone",
    "match-paused": "{match} was paused",
    "match-resumed": "the clock of {match} went on",
}
MAX_SECONDS = 86_400.0  # a match of more than a day is a typing error


def open_match(
    db: Database, match_id: str, *, seconds: float | None = None, seen: int | None = None, now: float
) -> MatchView:
    """Open the vote on a match. Opening an open one changes nothing.

    Args:
        db: the event's database.
        match_id: the match.
        seconds: its length; None: as the event's rules say; 0: until it is closed by hand.
        seen: number of the log's latest record that the caller was shown; None: not checked.
        now: seconds since the epoch.

    Raises:
        AlreadyDone: The match has changed since the caller was shown it.
        MatchNotFound: There is none.
        MatchNotReady: It has no two entries yet.
        MatchDecided: It is closed.
        AnotherMatchOpen: Another match is open.
        BadSetting: The length is out of bounds.
        WrongState: The bracket is not drawn, or the event is over.
    """
    with db.writing() as session:
        event, match = _match(session, match_id, seen)
        require(event, Action.OPEN_MATCH)
        length = vote_length(event, seconds)
        if match.state == "closed":
            raise MatchDecided(match_id)
        if match.state == "pending":
            other = session.scalar(select(Match.id).where(Match.state == "open").limit(1))
            if other is not None:
                raise AnotherMatchOpen(other)
            start_match(session, event, match, length, now)
        return BracketView.load(session, now).find(match_id)


def start_match(session: Session, event: Event, match: Match, length: float, now: float) -> None:
    """Open the vote on a match, and end a practice vote.

    Args:
        session: a writing transaction.
        event: its event.
        match: a pending match.
        length: of the vote, in seconds; 0: until it is closed by hand.
        now: seconds since the epoch.

    Raises:
        MatchNotReady: It has no two entries yet.
    """
    if not (match.upper_id and match.lower_id):
        raise MatchNotReady(match.id)
    end_practice(session, event, now)
    votes_from = now + event.reading_seconds
    open_poll(match, at=now, votes_from=votes_from, closes_at=votes_from + length if length else None)
    data = {
        "match": match.id,
        "poll": match.poll,
        "upper": match.upper_id,
        "lower": match.lower_id,
        "votes_from": match.votes_from,
        "closes_at": match.closes_at,
    }
    append(session, "match-opened", data, now=now)
    session.flush()


def set_match_time(
    db: Database, match_id: str, *, poll_round: int, closes_at: float | None, seen: int | None = None, now: float
) -> MatchView:
    """Set when the open vote on a match closes. The clock of a match that was paused runs again.

    Args:
        db: the event's database.
        match_id: the match.
        poll_round: the round that it is meant for.
        closes_at: seconds since the epoch; None: by hand only.
        seen: number of the log's latest record that the caller was shown; None: not checked.
        now: seconds since the epoch.

    Raises:
        AlreadyDone: The match has changed since the caller was shown it.
        BadSetting: The time is not within the next day.
        MatchNotFound: There is none.
        MatchNotOpen: This round of it is not open.
        WrongState: The bracket is not drawn, or the event is over.
    """
    with db.writing() as session:
        event, match = _match(session, match_id, seen)
        require(event, Action.SET_MATCH_TIME)
        if match.state != "open" or match.poll_round != poll_round:
            raise MatchNotOpen(match_id)
        if closes_at is not None and not now < closes_at <= now + MAX_SECONDS:
            raise BadSetting(f"a match closes within the next {MAX_SECONDS:,.0f} seconds", setting="closes_at")
        if match.paused_at is not None:  # the new time runs; what was still to be read, too
            match.votes_from = (match.votes_from or now) + now - match.paused_at
            match.paused_at = None
        match.closes_at = closes_at
        append(session, "match-time-set", times_of(match), now=now)
        session.flush()
        return BracketView.load(session, now).find(match_id)


def close_match(
    db: Database, match_id: str, *, poll_round: int, by_lot: bool = False, seen: int | None = None, now: float
) -> MatchResult:
    """Close a round of a match's poll and count its votes. A tie opens a re-vote; the draw decides a second tie.

    Where nobody has voted, the match stays open until somebody decides what to do: a lot that nobody asked for would be
    a strange way to win.

    Args:
        db: the event's database.
        match_id: the match.
        poll_round: the round to close. Nothing happens if another one is open by now, so that a second tap does not
            end the re-vote that the first one opened.
        by_lot: let the draw decide at once, if nobody has voted.
        seen: number of the log's latest record that the caller was shown; None: not checked.
        now: seconds since the epoch.

    Raises:
        AlreadyDone: The match has changed since the caller was shown it.
        MatchNotFound: There is none.
        MatchNotOpen: It was not opened yet.
        NobodyVoted: Nobody has voted on it.
    """
    with db.writing() as session:
        event, match = _match(session, match_id, seen)
        if match.state == "pending":
            raise MatchNotOpen(match_id)
        if match.state == "open" and poll_round == match.poll_round:
            tally = _tally(session, match)
            nobody_voted = match.poll_round == 0 and tally == Tally(0, 0)
            if nobody_voted and not by_lot:
                raise NobodyVoted(match_id)
            _count(session, event, match, tally, now)
            if nobody_voted:
                _count(session, event, match, tally, now)  # the second vote, without a second wait
        return _result(session, match, now)


def times_of(match: Match) -> dict[str, Any]:
    """Return what the log holds of the times of an open match."""
    times = {"votes_from": match.votes_from, "closes_at": match.closes_at, "paused_at": match.paused_at}
    return {"match": match.id, "poll": match.poll, **times}


def vote_length(event: Event, seconds: float | None) -> float:
    """Return the length of a vote: the one given, or that of the event's rules.

    Raises:
        BadSetting: It is out of bounds.
    """
    length = event.match_seconds if seconds is None else seconds
    if not 0 <= length <= MAX_SECONDS:
        raise BadSetting(f"a match stays open for 0 to {MAX_SECONDS:,.0f} seconds, not {length:g}")
    return length


def undo_match(db: Database, match_id: str, *, seen: int | None = None, now: float) -> MatchView:
    """Undo the vote on a match, open or decided, so that it can be opened again; its votes no longer count.

    The matches that followed are resolved again. A later match keeps its decision, which counts when the same two
    entries meet again; other entries need a new vote.

    Args:
        db: the event's database.
        match_id: the match.
        seen: number of the log's latest record that the caller was shown; None: not checked.
        now: seconds since the epoch.

    Raises:
        AlreadyDone: The match has changed since the caller was shown it.
        MatchNotFound: There is none.
        NothingToUndo: There was no vote on it.
        WrongState: The event is over.
    """
    with db.writing() as session:
        event, match = _match(session, match_id, seen)
        require(event, Action.UNDO_MATCH)
        if match.state == "pending" or (match.state == "closed" and match.decided_by not in VOTED):
            raise NothingToUndo(match_id)
        undo_poll(match)
        append(session, "match-undone", {"match": match_id, "poll": match.poll}, now=now)
        settle(session, event, Action.UNDO_MATCH, now)
        return BracketView.load(session, now).find(match_id)


def close_due(db: Database, *, now: float) -> list[MatchResult]:
    """Close what is due by the clock: submissions, claims after the grace time, the open match.

    Call it about once a second.

    Args:
        db: the event's database.
        now: seconds since the epoch.

    Returns:
        The results of the matches closed.
    """
    with db.reading() as session:
        event = the_event(session)
        submissions = is_closing_due(event, now)
        practice = event.practice_closes_at is not None and event.practice_closes_at <= now
    if submissions:
        with db.writing() as session:
            event = the_event(session)
            if event.closes_at is not None and is_closing_due(event, now):
                close(session, event, event.closes_at, now=now)
    expire_claims(db, now=now)
    if practice:
        with db.writing() as session:
            end_practice(session, the_event(session), now)
    results = []
    while (due := _next_due(db, now)) is not None:
        match, poll_round = due
        try:
            results.append(close_match(db, match, poll_round=poll_round, now=now))
        except NobodyVoted:
            set_match_time(db, match, poll_round=poll_round, closes_at=None, now=now)
    return results


def _next_due(db: Database, now: float) -> tuple[str, int] | None:
    """Return the first match whose time is over, and its round of the poll.

    Matches that were opened together are counted one after another, so that the room sees each result, and a second
    vote ends before the next count.
    """
    with db.reading() as session:
        opened = session.scalars(select(Match).where(Match.state == "open").order_by(Match.position)).all()
        for row in opened:
            if row.closes_at is None or row.closes_at > now or row.paused_at is not None:
                continue
            together = Match.opened_at == row.opened_at
            last = session.scalar(select(func.max(Match.closed_at)).where(together, Match.state == "closed"))
            if last is not None and now < last + REVEAL_SECONDS:
                continue
            others = (other for other in opened if other.opened_at == row.opened_at and other is not row)
            if any(other.poll_round and (other.closes_at is None or other.closes_at > now) for other in others):
                continue
            return row.id, row.poll_round
    return None


def _match(session: Session, match_id: str, seen: int | None) -> tuple[Event, Match]:
    """Return the event and a match that has not changed since the caller was shown it."""
    match = session.get(Match, match_id)
    if match is None:
        raise MatchNotFound(match_id)
    require_unchanged(session, seen, MATCH_CHANGES, match=match_id)
    return the_event(session), match


def _tally(session: Session, match: Match) -> Tally:
    """Count the votes of the open round of a match."""
    query = select(Vote.choice, func.count()).where(
        Vote.match_id == match.id, Vote.poll == match.poll, Vote.poll_round == match.poll_round
    )
    votes = dict(session.execute(query.group_by(Vote.choice)).all())
    return Tally(votes.get("upper", 0), votes.get("lower", 0))


def _count(session: Session, event: Event, match: Match, tally: Tally, now: float) -> None:
    """Record the tally of the open round of a match, then decide the match or open the re-vote."""
    if match.upper_id is None or match.lower_id is None:
        raise MatchNotReady(match.id)
    data = {"match": match.id, "poll": match.poll, "poll_round": match.poll_round, **vars(tally)}
    data |= {"outcome": outcome(tally, match.poll_round)}
    data |= {"votes": digest_of_votes(session, log_salt(event.salt), match.id, match.poll, match.poll_round)}
    append(session, "votes-counted", data, now=now)
    revote = event.revote_seconds
    if count_round(match, tally, draw_digest=event.draw_digest, revote_seconds=revote, at=now) is not None:
        settle(session, event, Action.CLOSE_MATCH, now)


def settle(session: Session, event: Event, action: Action, now: float) -> None:
    """Write what follows from the decisions so far: each match's sides and winner, and the event's state.

    Args:
        session: a writing transaction.
        event: its event.
        action: what was done.
        now: seconds since the epoch.
    """
    session.flush()
    rows = {row.id: row for row in session.scalars(select(Match).order_by(Match.position))}
    if not rows:
        return
    entries = session.execute(select(Entry.id, Entry.state).where(Entry.seed.is_not(None)).order_by(Entry.seed)).all()
    out = [entry.id for entry in entries if entry.state == "disqualified"]
    for match_id in settle_rows(rows, [entry.id for entry in entries], out, at=now):
        row = rows[match_id]
        data = {"match": row.id, "state": row.state, "winner": row.winner_id, "by": row.decided_by}
        append(session, "match-settled", data, now=now)
    state: EventState = "champion" if is_final_closed(rows) else "drawn"
    if event.state != state:
        move(event, action, state)
        if state == "champion":
            append(session, "champion", {"entry": read_podium(session).champion}, now=now)
    session.flush()


def _result(session: Session, match: Match, now: float) -> MatchResult:
    session.flush()
    view = BracketView.load(session, now)
    shown = view.find(match.id)
    winner = next((side for side in (shown.upper, shown.lower) if side and side.entry == match.winner_id), None)
    return MatchResult(
        match=match.id,
        title=shown.title,
        state=match.state,
        poll_round=match.poll_round,
        tallies=[list(pair) for pair in match.tallies or []],
        winner=match.winner_id,
        winner_label=winner.label if winner else None,
        decided_by=match.decided_by,
        closes_at=match.closes_at,
        champion=view.champion,
    )
