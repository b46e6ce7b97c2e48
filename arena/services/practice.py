"""A vote for practice: two sample verses, on the stage and on the phones. It counts for nothing, and leaves no vote."""

from __future__ import annotations

from typing import Literal

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from arena.errors import AnotherMatchOpen, BadSetting, BadSide, NothingOpen, PracticeOver, TooManyChanges
from arena.rules.draw import left_side
from arena.rules.lifecycle import Action
from arena.services.events import STATE_CHANGES, require, the_event
from arena.services.identity import identify
from arena.services.log import append, require_unchanged
from arena.services.schemas import BallotSide, PracticeBallot
from arena.store.schema import Event, Match, PracticeVote
from arena.store.unit_of_work import Database

PRACTICE_SECONDS = 30.0  # enough to find one's phone
MAX_SECONDS = 3_600.0
MAX_CHANGES = 20  # of one vote
PRACTICE_CHANGES = {
    **STATE_CHANGES,
    "practice-opened": "a practice vote was opened",
    "practice-closed": "the practice vote ended",
    "match-opened": "a match was opened",
}
SAMPLES = (  # of data/folio.txt, the corpus that comes along
    BallotSide(
        "A",
        "She's not been stolen, sir. She sets by two.\nWhat would you have her do? She's up at dawn\n"
        "To sweep for others, like the rest of widows.",
        "",
    ),
    BallotSide(
        "B",
        "He's gone, and finds the fourteenth with his toe,\nAnd I that have my eyes would there have fallen.\n"
        "What is a king? A peg to hang a coat on.",
        "",
    ),
)


def open_practice(db: Database, *, seconds: float | None = None, seen: int | None = None, now: float) -> None:
    """Open a practice vote. Opening an open one changes nothing.

    Args:
        db: the event's database.
        seconds: its length; None: as usual; 0: until it is ended by hand.
        seen: number of the log's latest record that the caller was shown; None: not checked.
        now: seconds since the epoch.

    Raises:
        AlreadyDone: The event has changed since the caller was shown it.
        AnotherMatchOpen: A match is open.
        BadSetting: The length is out of bounds.
        WrongState: There is a champion.
    """
    length = PRACTICE_SECONDS if seconds is None else seconds
    if not 0 <= length <= MAX_SECONDS:
        raise BadSetting(f"a practice vote stays open for 0 to {MAX_SECONDS:,.0f} seconds, not {length:g}")
    with db.writing() as session:
        event = the_event(session)
        require_unchanged(session, seen, PRACTICE_CHANGES)
        require(event, Action.PRACTISE)
        if (other := session.scalar(select(Match.id).where(Match.state == "open").limit(1))) is not None:
            raise AnotherMatchOpen(other)
        if event.practice_at is None:
            event.practice_at, event.practice_closes_at = now, now + length if length else None
            append(session, "practice-opened", {"closes_at": event.practice_closes_at}, now=now)


def close_practice(db: Database, *, seen: int | None = None, now: float) -> int:
    """End the practice vote, and remove its votes.

    Args:
        db: the event's database.
        seen: number of the log's latest record that the caller was shown; None: not checked.
        now: seconds since the epoch.

    Returns:
        How many had voted.

    Raises:
        AlreadyDone: The event has changed since the caller was shown it.
        NothingOpen: There is no practice vote.
    """
    with db.writing() as session:
        event = the_event(session)
        require_unchanged(session, seen, PRACTICE_CHANGES)
        if event.practice_at is None:
            raise NothingOpen("end")
        return end_practice(session, event, now)


def end_practice(session: Session, event: Event, now: float) -> int:
    """End a practice vote, if there is one, in the caller's transaction; return how many had voted."""
    if event.practice_at is None:
        return 0
    votes = count_practice(session)
    session.execute(delete(PracticeVote))
    event.practice_at = event.practice_closes_at = None
    append(session, "practice-closed", {"votes": votes}, now=now)
    return votes


def count_practice(session: Session) -> int:
    """Count the votes of the practice."""
    return session.scalar(select(func.count()).select_from(PracticeVote)) or 0


def get_practice(db: Database, secret: str, *, now: float) -> PracticeBallot | None:
    """Return the practice vote as one voter sees it; None if there is none.

    Args:
        db: the event's database.
        secret: the voter's.
        now: seconds since the epoch.

    Raises:
        BadSecret: The secret has the wrong form.
    """
    with db.reading() as session:
        event, voter = the_event(session), identify(session, secret).voter_id
        if not _is_open(event, now):
            return None
        vote = session.get(PracticeVote, voter)
        upper, lower = SAMPLES
        is_swapped = left_side(voter, "practice") == "lower"
        left, right = (lower, upper) if is_swapped else (upper, lower)
        choice: Literal["left", "right"] | None = None
        if vote is not None:
            choice = "left" if (vote.choice == "upper") != is_swapped else "right"
        return PracticeBallot(left, right, choice, event.practice_closes_at)


def cast_practice(db: Database, secret: str, side: str, *, now: float) -> None:
    """Take a vote for practice, or change it.

    Args:
        db: the event's database.
        secret: the voter's.
        side: "left" or "right", as this voter sees them.
        now: seconds since the epoch.

    Raises:
        BadSecret: The secret has the wrong form.
        BadSide: The side is neither left nor right.
        PracticeOver: There is no practice vote.
        TooManyChanges: The vote was changed too often.
    """
    if side not in ("left", "right"):
        raise BadSide

    def job(session: Session) -> None:
        voter = identify(session, secret).voter_id
        if not _is_open(the_event(session), now):
            raise PracticeOver
        left = left_side(voter, "practice")
        choice = left if side == "left" else "lower" if left == "upper" else "upper"
        vote = session.get(PracticeVote, voter)
        if vote is None:
            session.add(PracticeVote(voter_id=voter, choice=choice))
        elif vote.choice != choice:
            if vote.changes >= MAX_CHANGES:
                raise TooManyChanges(MAX_CHANGES)
            vote.choice, vote.changes = choice, vote.changes + 1
        session.flush()

    db.submit(job)


def _is_open(event: Event, now: float) -> bool:
    return event.practice_at is not None and (event.practice_closes_at is None or now < event.practice_closes_at)
