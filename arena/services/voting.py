"""Ballots, blind and shuffled, and votes that count once."""

from __future__ import annotations

from typing import Any, Literal

from sqlalchemy import Row, Select, select, true
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session, aliased, sessionmaker

from arena.errors import BadSide, BallotOver, MatchClosed, MatchNotFound, MatchNotOpen, OwnMatch
from arena.rules.bracket import title_of
from arena.rules.draw import left_side
from arena.services.answers import Ballot, VoteReceipt
from arena.services.identity import owner_id_of, voter_id_of
from arena.services.log import append, salted
from arena.store.engine import reading, writing
from arena.store.schema import Entry, Event, Match, Vote

UPPER, LOWER = aliased(Entry), aliased(Entry)


def ballot(db: sessionmaker[Session], match_id: str, secret: str, *, now: float) -> Ballot:
    """The two verses of a match in this voter's order, and the voter's choice so far.

    Raises:
        BadSecret, MatchNotFound; MatchNotOpen: its verses are still secret.
    """
    owner, voter = owner_id_of(secret), voter_id_of(secret)
    with reading(db) as session:
        row = _row(session, _match_and_vote(voter, UPPER.text.label("upper"), LOWER.text.label("lower")), match_id)
        if row.state == "pending" or row.opened_at is None:
            raise MatchNotOpen(match_id)
        left = left_side(voter, match_id)
        return Ballot(
            match=match_id,
            title=title_of(match_id, row.round, row.slot, _rounds(session)),
            number=row.ballot,
            left=row.upper if left == "upper" else row.lower,
            right=row.lower if left == "upper" else row.upper,
            choice=_side(row.choice, left) if row.choice else None,
            mine=owner in (row.upper_owner, row.lower_owner),
            closes_at=row.closes_at,
            open=_counts(row, now),
        )


def cast_vote(
    db: sessionmaker[Session], match_id: str, secret: str, side: str, number: int, *, now: float
) -> VoteReceipt:
    """Count a vote, or change it, until the match closes. The same vote again changes nothing.

    Args:
        side: "left" or "right", as this voter sees them.
        number: of the ballot voted in: 0 first, 1 after a tie.

    Raises:
        BadSecret, BadSide, MatchNotFound, MatchNotOpen, MatchClosed, BallotOver, OwnMatch.
    """
    owner, voter = owner_id_of(secret), voter_id_of(secret)
    if side not in ("left", "right"):
        raise BadSide
    left = left_side(voter, match_id)
    choice = left if side == "left" else _other(left)
    with writing(db) as session:
        row = _row(session, _match_and_vote(voter, Event.salt).join(Event, true()), match_id)
        if row.state == "pending":
            raise MatchNotOpen(match_id)
        if not _counts(row, now):
            raise MatchClosed(match_id)
        if number != row.ballot:
            raise BallotOver(match_id, row.ballot)
        if owner in (row.upper_owner, row.lower_owner):
            raise OwnMatch
        cast_at = now
        if row.choice == choice:
            cast_at = row.cast_at
        else:
            key = {"match_id": match_id, "run": row.run, "ballot": number, "voter_id": voter}
            _upsert(session, key, {"choice": choice, "shown_left": left, "cast_at": now})
            digest = salted(row.salt, match_id, row.run, number, voter, choice)
            data = {"match": match_id, "run": row.run, "ballot": number, "voter": voter, "vote": digest}
            append(session, "vote", data, now=now)
        return VoteReceipt(
            match=match_id,
            number=number,
            choice=_side(choice, left),
            changed=row.choice not in (None, choice),
            cast_at=cast_at,
            closes_at=row.closes_at,
        )


def _match_and_vote(voter: str, *more: Any) -> Select[*tuple[Any, ...]]:
    """A match, the owners of its two entries, and the voter's vote in its present ballot, in one question."""
    mine = (
        (Vote.match_id == Match.id) & (Vote.run == Match.run) & (Vote.ballot == Match.ballot) & (Vote.voter_id == voter)
    )
    return (
        select(
            *(Match.state, Match.round, Match.slot, Match.run, Match.ballot, Match.opened_at, Match.closes_at),
            *(UPPER.owner_id.label("upper_owner"), LOWER.owner_id.label("lower_owner")),
            *(Vote.choice, Vote.cast_at),
            *more,
        )
        .outerjoin(UPPER, UPPER.id == Match.upper_id)
        .outerjoin(LOWER, LOWER.id == Match.lower_id)
        .outerjoin(Vote, mine)
    )


def _row(session: Session, query: Select[*tuple[Any, ...]], match_id: str) -> Row[*tuple[Any, ...]]:
    row = session.execute(query.where(Match.id == match_id)).first()
    if row is None:
        raise MatchNotFound(match_id)
    return row


def _counts(row: Row[*tuple[Any, ...]], now: float) -> bool:
    """Whether a vote would count now: the clock closes a match, whoever counts it later."""
    return row.state == "open" and (row.closes_at is None or now < row.closes_at)


def _rounds(session: Session) -> int:
    return session.scalar(select(Match.round).where(Match.kind == "final")) or 0


def _other(side: Literal["upper", "lower"]) -> Literal["upper", "lower"]:
    return "lower" if side == "upper" else "upper"


def _side(choice: str, left: str) -> Literal["left", "right"]:
    return "left" if choice == left else "right"


def _upsert(session: Session, key: dict[str, Any], values: dict[str, Any]) -> None:
    """Insert a vote, or change the one that is there: the database keeps it at one."""
    postgres = session.get_bind().dialect.name == "postgresql"
    insert: Any = postgresql.insert if postgres else sqlite.insert
    statement = insert(Vote).values(**key, **values)
    session.execute(statement.on_conflict_do_update(index_elements=list(key), set_=values))
