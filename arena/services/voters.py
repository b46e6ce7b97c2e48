"""Voters: who may vote. With tickets, with the room's PIN, or everybody."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from arena.errors import BadSetting, MatchesBegun, PinWrong
from arena.rules.lifecycle import ADMISSIONS, Action
from arena.rules.pin import MINUTE, is_pin, pin_at
from arena.services.events import require, the_event, view_of
from arena.services.identity import Identity, identify, identity_of
from arena.services.log import append, require_unchanged
from arena.services.schemas import EventView
from arena.store.schema import Judgement, Match, PinVoter, Vote
from arena.store.unit_of_work import Database


def set_admission(db: Database, mode: str, *, seen: int | None = None, now: float) -> EventView:
    """Choose who may vote, before the first match is opened.

    Args:
        db: the event's database.
        mode: "tickets", "pin" or "open".
        seen: number of the log's latest record that the caller was shown; None: not checked.
        now: seconds since the epoch.

    Raises:
        AlreadyDone: It has changed since the caller was shown it.
        BadSetting: There is no such mode.
        MatchesBegun: A match was opened.
        WrongState: The event is over.
    """
    if mode not in ADMISSIONS:
        raise BadSetting(f"who may vote is one of {', '.join(ADMISSIONS)}, not {mode[:20]!r}")
    with db.writing() as session:
        event = the_event(session)
        require_unchanged(session, seen, {"admission-set": "who may vote was changed"})
        if event.admission != mode:
            require(event, Action.SET_ADMISSION)
            require_before_matches(session, Action.SET_ADMISSION)
            event.admission = mode
            append(session, "admission-set", {"admission": mode}, now=now)
        return view_of(event)


def require_before_matches(session: Session, action: Action) -> None:
    """Check that no match was opened, and nobody has voted or judged a pair.

    Args:
        session: any transaction.
        action: what is asked for.

    Raises:
        MatchesBegun: A match was opened.
    """
    begun = (
        select(Match.id).where(Match.opened_at.is_not(None)),
        select(Vote.id),
        select(Judgement.id).where(Judgement.choice.is_not(None)),
    )
    if any(session.scalar(query.limit(1)) is not None for query in begun):
        raise MatchesBegun(action.value)


def who_is(db: Database, secret: str) -> Identity:
    """Identify whoever has this secret; raises as `identify`."""
    with db.reading() as session:
        return identify(session, secret)


def check_pin(pin: str, key: str, *, now: float) -> None:
    """Check a PIN.

    Args:
        pin: as it was typed.
        key: from which the PIN is computed.
        now: seconds since the epoch.

    Raises:
        PinWrong: It is not the PIN that is shown, or was shown a minute ago.
    """
    if not is_pin(key, pin, now):
        raise PinWrong


def room_pin(key: str, *, now: float) -> tuple[str, float]:
    """Return the PIN that is shown at a time, and the time at which another one follows."""
    return pin_at(key, now), (now // MINUTE + 1) * MINUTE


def admit(db: Database, secret: str, *, now: float) -> None:
    """Let a voter vote who has typed the right PIN.

    Args:
        db: the event's database.
        secret: the voter's.
        now: seconds since the epoch.

    Raises:
        BadSecret: The secret has the wrong form.
    """
    voter = identity_of(secret).voter_id

    def job(session: Session) -> None:
        if session.get(PinVoter, voter) is None:
            session.add(PinVoter(voter_id=voter, admitted_at=now))

    db.submit(job)
