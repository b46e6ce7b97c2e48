"""Ballots without names, in an order of each voter's own, and votes that count once."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal, cast

from sqlalchemy import Row, Select, Table, bindparam, exists, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from arena.errors import (
    ArenaError,
    BadSide,
    MatchClosed,
    MatchNotFound,
    MatchNotOpen,
    OwnMatch,
    PollRoundOver,
    TicketTooNew,
    TooManyChanges,
    VoteNotBegun,
)
from arena.rules.bracket import title_of
from arena.rules.chain import ballots_digest
from arena.rules.draw import left_side
from arena.services.identity import Identity, identify
from arena.services.schemas import Ballot, BallotSide, RoundItem, VoteReceipt
from arena.store.schema import CoAuthor, Entry, Match, Vote
from arena.store.unit_of_work import Database

_MATCH, _VOTE, _COAUTHOR = (cast(Table, model.__table__) for model in (Match, Vote, CoAuthor))
_UPPER, _LOWER = (cast(Table, Entry.__table__).alias(name) for name in ("upper", "lower"))
_COLUMNS = ["id", "state", "round", "number", "poll", "poll_round", "opened_at", "votes_from", "closes_at", "paused_at"]
_KEY = ("match_id", "poll", "poll_round", "voter_id")  # the database keeps it unique
_VALUES = ("choice", "shown_left", "cast_at")
Choice = Literal["upper", "lower"]
CHOICES: tuple[Choice, Choice] = ("upper", "lower")
MAX_CHANGES = 20  # of one vote: each is a commit, and nobody changes their mind more often


def _match_query(*more: Any) -> Select[*tuple[Any, ...]]:
    """Build the query of a match, the owners of its two entries, and one voter's vote in its current poll.

    It is built once at import, because many people vote within seconds.
    """
    own_vote = _VOTE.c.voter_id == bindparam("voter")
    sides = (_MATCH.c.upper_id, _MATCH.c.lower_id)
    coauthor = exists().where(_COAUTHOR.c.entry_id.in_(sides), _COAUTHOR.c.owner_id == bindparam("owner"))
    for name in ("poll", "poll_round"):
        own_vote &= _VOTE.c[name] == _MATCH.c[name]
    return (
        select(
            *(_MATCH.c[name] for name in _COLUMNS),
            *(_UPPER.c.owner_id.label("upper_owner"), _LOWER.c.owner_id.label("lower_owner")),
            coauthor.label("coauthor"),
            *(_VOTE.c.choice, _VOTE.c.cast_at, _VOTE.c.changes),
            *more,
        )
        .select_from(_MATCH)
        .outerjoin(_UPPER, _UPPER.c.id == _MATCH.c.upper_id)
        .outerjoin(_LOWER, _LOWER.c.id == _MATCH.c.lower_id)
        .outerjoin(_VOTE, (_VOTE.c.match_id == _MATCH.c.id) & own_vote)
    )


def _upsert(insert: Any) -> Any:
    """Build the statement that inserts a vote, or changes the one that is there."""
    statement = insert(_VOTE).values({name: bindparam(name) for name in (*_KEY, *_VALUES)})
    values = {name: statement.excluded[name] for name in _VALUES} | {"changes": _VOTE.c.changes + 1}
    return statement.on_conflict_do_update(index_elements=list(_KEY), set_=values)


_THE_MATCH = _MATCH.c.id == bindparam("match")
_SHOW = _match_query(
    *(side.c[name].label(f"{side.name}_{name}") for side in (_UPPER, _LOWER) for name in ("text", "prompt"))
).where(_THE_MATCH)
_CAST = _match_query().where(_THE_MATCH)
_OPEN = _match_query().where(_MATCH.c.state == "open").order_by(_MATCH.c.position)
_UPSERT_SQLITE, _UPSERT_POSTGRES = _upsert(sqlite.insert), _upsert(postgresql.insert)


def get_ballot(db: Database, match_id: str, secret: str, *, now: float) -> Ballot:
    """Return the two verses of a match in this voter's order, and the voter's choice so far.

    Args:
        db: the event's database.
        match_id: the match.
        secret: the voter's.
        now: seconds since the epoch.

    Raises:
        BadSecret: The secret has the wrong form.
        MatchNotFound: There is no such match.
        MatchNotOpen: It was not opened yet, and its verses are secret; or it has no two verses.
    """
    with db.reading() as session:
        identity = identify(session, secret)
        row = _row(session, _SHOW, match_id, identity)
        # a match that was opened once may have lost a side since: everybody before it was disqualified
        if row.state == "pending" or row.opened_at is None or None in (row.upper_text, row.lower_text):
            raise MatchNotOpen(match_id)
        refusal = _refusal(row, identity)
        ballot = _poll_of(row, match_id, _rounds(session), frozenset(), now).ballot(
            left_side(identity.voter_id, match_id),
            _is_author(row, identity),
            choice=row.choice,
            refusal=refusal.args[0] if refusal else None,
        )
        return replace(ballot, is_replacement=identity.is_replacement)


@dataclass(frozen=True)
class OpenPoll:
    """A match in its poll, as everybody's ballot shows it."""

    match: str  # id
    title: str
    number: int  # of the poll of this match, from 0
    round: int
    upper: BallotSide
    lower: BallotSide
    owners: frozenset[str]  # of the two entries
    opens_at: float | None
    closes_at: float | None
    paused: bool
    is_open: bool

    def ballot(self, left: Choice, mine: bool, choice: str | None = None, refusal: str | None = None) -> Ballot:
        """Return the ballot of one voter.

        Args:
            left: the verse that this voter sees on the left.
            mine: one of the verses is the voter's.
            choice: the verse that has the voter's vote; None: no vote.
            refusal: why this voter may not vote; None: nothing is in the way.
        """
        return Ballot(
            match=self.match,
            poll=self.number,
            title=self.title,
            poll_round=self.round,
            left=self.upper if left == "upper" else self.lower,
            right=self.lower if left == "upper" else self.upper,
            choice=_side(choice, left) if choice else None,
            mine=mine,
            refusal=refusal,
            opens_at=self.opens_at,
            closes_at=self.closes_at,
            paused=self.paused,
            open=self.is_open,
        )


def choice_on_the_left(identity: Identity, match_id: str) -> Choice:
    """Return the verse that a voter sees on the left."""
    return left_side(identity.voter_id, match_id)


def open_poll(db: Database, match_id: str, *, now: float) -> OpenPoll | None:
    """Return a match that is open, with the ids of all who own its verses, or None if it is not.

    Args:
        db: the event's database.
        match_id: the match.
        now: seconds since the epoch.
    """
    with db.reading() as session:
        row = session.execute(_SHOW, {"match": match_id, "voter": "", "owner": ""}).first()
        if row is None or row.state != "open":
            return None
        sides = (
            select(_MATCH.c.upper_id)
            .where(_MATCH.c.id == match_id)
            .union_all(select(_MATCH.c.lower_id).where(_MATCH.c.id == match_id))
        )
        more = session.scalars(select(_COAUTHOR.c.owner_id).where(_COAUTHOR.c.entry_id.in_(sides)))
        return _poll_of(row, match_id, _rounds(session), frozenset(more), now)


def get_round(db: Database, secret: str, *, now: float) -> list[RoundItem]:
    """List the open matches with this voter's votes so far.

    Args:
        db: the event's database.
        secret: the voter's.
        now: seconds since the epoch.

    Raises:
        BadSecret: The secret has the wrong form.
    """
    with db.reading() as session:
        identity = identify(session, secret)
        rounds = _rounds(session)
        labels: dict[str, Literal["A", "B"]] = {"upper": "A", "lower": "B"}
        return [
            RoundItem(
                match=row.id,
                title=title_of(row.id, row.round, row.number, rounds),
                choice=labels.get(row.choice),
                mine=_is_author(row, identity),
                open=_takes_votes(row, now),
            )
            for row in session.execute(_OPEN, {"voter": identity.voter_id, "owner": identity.owner_id})
        ]


def cast_vote(
    db: Database, match_id: str, secret: str, side: str, poll_round: int, *, poll: int | None = None, now: float
) -> VoteReceipt:
    """Cast a vote, or change it, until the match closes. The same vote again changes nothing.

    The log has no record of a vote: when the votes are counted, it gets a digest of all of them (`digest_of_votes`).

    Args:
        db: the event's database.
        match_id: the match.
        secret: the voter's.
        side: "left" or "right", as this voter sees them.
        poll_round: the round that the voter was shown: 0 first, 1 after a tie.
        poll: the poll that the voter was shown; None: not checked. A match that was undone and opened again has
            another one, and its sides may be other verses.
        now: seconds since the epoch.

    Returns:
        The confirmation; the vote is on the disk.

    Raises:
        BadSecret: The secret has the wrong form.
        BadSide: The side is neither left nor right.
        MatchNotFound: There is no such match.
        MatchNotOpen: It was not opened yet.
        MatchClosed: It is closed.
        VoteNotBegun: It is still read before the vote.
        PollRoundOver: Another round is open.
        TicketNeeded, TicketUnknown, TicketVoid, TicketSpare, PinNeeded: The voter is not admitted (`identity`).
        TicketTooNew: The voter's card replaced another one during this match.
        OwnMatch: One of the two verses is the voter's.
        TooManyChanges: The vote was changed too often; it counts as it is.
    """
    if side not in ("left", "right"):
        raise BadSide

    def count(session: Session) -> VoteReceipt:
        identity = identify(session, secret)
        voter = identity.voter_id
        left = left_side(voter, match_id)
        choice = left if side == "left" else _other(left)
        row = _row(session, _CAST, match_id, identity)
        if row.state == "pending":
            raise MatchNotOpen(match_id)
        if _is_read(row, now):
            raise VoteNotBegun(match_id, row.votes_from - now)
        if not _takes_votes(row, now):
            raise MatchClosed(match_id)
        if poll_round != row.poll_round or poll not in (None, row.poll):
            raise PollRoundOver(match_id, row.poll_round)
        if refusal := _refusal(row, identity):
            raise refusal
        if _is_author(row, identity):
            raise OwnMatch
        if row.choice != choice:
            if row.choice is not None and row.changes >= MAX_CHANGES:
                raise TooManyChanges(MAX_CHANGES)
            vote = {"match_id": match_id, "poll": row.poll, "poll_round": poll_round, "voter_id": voter}
            values = vote | {"choice": choice, "shown_left": left, "cast_at": now}
            postgres = session.get_bind().dialect.name == "postgresql"
            session.execute(_UPSERT_POSTGRES if postgres else _UPSERT_SQLITE, values)
        return VoteReceipt(
            match=match_id,
            poll_round=poll_round,
            choice=_side(choice, left),
            changed=row.choice not in (None, choice),
            cast_at=row.cast_at if row.choice == choice else now,
            closes_at=row.closes_at,
        )

    return db.submit(count)


def digest_of_votes(session: Session, salt: str, match_id: str, poll: int, poll_round: int) -> str:
    """Compute a salted digest of all votes in one round of a poll, by which nobody can change one later.

    Args:
        session: any transaction.
        salt: of the log.
        match_id: the match.
        poll: number of its poll.
        poll_round: the round.
    """
    of_round = {"match_id": match_id, "poll": poll, "poll_round": poll_round}
    query = select(_VOTE.c.voter_id, _VOTE.c.choice, _VOTE.c.cast_at)
    votes = session.execute(query.where(*(_VOTE.c[name] == value for name, value in of_round.items())))
    ballots = [(vote.voter_id, vote.choice, minute_of(vote.cast_at)) for vote in votes]
    return ballots_digest(salt, match_id, poll, poll_round, ballots)


def minute_of(at: float) -> int:
    """Return the minute since the epoch, which is all that is published of when somebody voted."""
    return int(at // 60)


def _row(session: Session, query: Select[*tuple[Any, ...]], match_id: str, identity: Identity) -> Row[*tuple[Any, ...]]:
    who = {"voter": identity.voter_id, "owner": identity.owner_id}
    row = session.execute(query, {"match": match_id, **who}).first()
    if row is None:
        raise MatchNotFound(match_id)
    return row


def _is_author(row: Row[*tuple[Any, ...]], identity: Identity) -> bool:
    return bool(row.coauthor) or identity.owner_id in (row.upper_owner, row.lower_owner)


def _refusal(row: Row[*tuple[Any, ...]], identity: Identity) -> ArenaError | None:
    """Return why a voter may not vote in a match; None if nothing is in the way."""
    if identity.refusal is None and identity.votes_from is not None and row.opened_at is not None:
        return TicketTooNew() if row.opened_at <= identity.votes_from else None
    return identity.refusal


def _takes_votes(row: Row[*tuple[Any, ...]], now: float) -> bool:
    """Whether a match takes votes now. The clock closes a match, even if its votes are counted later."""
    moment = _moment(row, now)
    return row.state == "open" and not _is_read(row, now) and (row.closes_at is None or moment < row.closes_at)


def _is_read(row: Row[*tuple[Any, ...]], now: float) -> bool:
    """Whether a match is still read before its vote."""
    return row.state == "open" and row.votes_from is not None and _moment(row, now) < row.votes_from


def _moment(row: Row[*tuple[Any, ...]], now: float) -> float:
    """Return the time by the match's clock, which stands while the match is paused."""
    return now if row.paused_at is None else min(now, row.paused_at)


def _poll_of(row: Row[*tuple[Any, ...]], match_id: str, rounds: int, coauthors: frozenset[str], now: float) -> OpenPoll:
    return OpenPoll(
        match=match_id,
        title=title_of(match_id, row.round, row.number, rounds),
        number=row.poll,
        round=row.poll_round,
        upper=_ballot_side(row, "upper"),
        lower=_ballot_side(row, "lower"),
        owners=coauthors.union(owner for owner in (row.upper_owner, row.lower_owner) if owner),
        opens_at=row.votes_from if _is_read(row, now) else None,
        closes_at=row.closes_at if row.paused_at is None else None,
        paused=row.paused_at is not None,
        is_open=_takes_votes(row, now),
    )


def _ballot_side(row: Row[*tuple[Any, ...]], side: Choice) -> BallotSide:
    if side == "upper":
        return BallotSide("A", row.upper_text, row.upper_prompt)
    return BallotSide("B", row.lower_text, row.lower_prompt)


def _rounds(session: Session) -> int:
    return session.scalar(select(Match.round).where(Match.kind == "final")) or 0


def _other(side: Choice) -> Literal["upper", "lower"]:
    return "lower" if side == "upper" else "upper"


def _side(choice: str, left: str) -> Literal["left", "right"]:
    return "left" if choice == left else "right"
