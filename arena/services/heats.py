"""The heats: before the draw, each voter judges pairs of verses at their own pace, and the verses are ranked.

A voter has one pair at a time, and gives one judgement a pair, which stays. As with votes, the log has no record of a
judgement: the closing adds one record, with a digest of all of them.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import delete, func, or_, select, update
from sqlalchemy.orm import Session

from arena.errors import ArenaError, BadSide, HeatsNotOpen, JudgedTooSoon, PairGone, TicketTooNewForHeats
from arena.rules.chain import log_salt
from arena.rules.draw import left_side
from arena.rules.heats import LEAST_SECONDS, choose_pair, share_of
from arena.rules.lifecycle import Action, allows
from arena.rules.ranking import Ranking
from arena.services.events import STATE_CHANGES, require, the_event
from arena.services.identity import Identity, identify
from arena.services.judgements import JUDGED, digest_of_judgements, judged_count, read_ranking
from arena.services.log import append, require_unchanged
from arena.services.schemas import BallotSide, HeatsPage, HeatsView, PairView, RankedView
from arena.store.schema import TAKING_PART, CoAuthor, Entry, Event, Judgement, LogRecord
from arena.store.unit_of_work import Database

HEATS_CHANGES = {  # kinds of log records that change the heats, in words
    **STATE_CHANGES,
    "heats-opened": "the heats were opened",
    "heats-closed": "the heats were closed",
}


def open_heats(db: Database, *, seen: int | None = None, now: float) -> HeatsView:
    """Let voters judge pairs of verified verses, also again after a closing. Opening open heats changes nothing.

    Args:
        db: the event's database.
        seen: number of the log's latest record that the caller was shown; None: not checked.
        now: seconds since the epoch.

    Raises:
        AlreadyDone: The heats or the event have changed since the caller was shown them.
        WrongState: Submissions were never open, or the bracket is drawn.
    """
    with db.writing() as session:
        event = the_event(session)
        require_unchanged(session, seen, HEATS_CHANGES)
        require(event, Action.OPEN_HEATS)
        if event.heats != "open":
            event.heats = "open"
            append(session, "heats-opened", {}, now=now)
            session.flush()
        return _view(session, event)


def close_heats(db: Database, *, seen: int | None = None, now: float) -> HeatsView:
    """End the judging, and rank all verified verses.

    Args:
        db: the event's database.
        seen: number of the log's latest record that the caller was shown; None: not checked.
        now: seconds since the epoch.

    Raises:
        AlreadyDone: The heats or the event have changed since the caller was shown them.
        HeatsNotOpen: They are not open.
        WrongState: The bracket is drawn.
    """
    with db.writing() as session:
        event = the_event(session)
        require_unchanged(session, seen, HEATS_CHANGES)
        require(event, Action.CLOSE_HEATS)
        if event.heats != "open":
            raise HeatsNotOpen
        event.heats = "closed"
        session.execute(delete(Judgement).where(Judgement.choice.is_(None)))
        session.execute(
            update(Entry).values({f"heat_{name}": None for name in ("place", "strength", "low", "high", "judgements")})
        )
        ranking = read_ranking(session)
        places = {verse.entry: verse for verse in ranking.ranked}
        for entry in session.scalars(select(Entry).where(Entry.id.in_(places))):
            verse = places[entry.id]
            entry.heat_place, entry.heat_strength = verse.place, verse.strength
            entry.heat_low, entry.heat_high, entry.heat_judgements = verse.low, verse.high, verse.judgements
        data = {
            "judgements": digest_of_judgements(session, log_salt(event.salt)),
            "count": judged_count(session),
            "ranking": [[verse.entry, verse.place] for verse in ranking.ranked],
        }
        append(session, "heats-closed", data, now=now)
        session.flush()
        return _view(session, event, ranking)


def get_heats(db: Database) -> HeatsView:
    """Return the state of the heats, with the ranking as it is now, for the organizer."""
    with db.reading() as session:
        return _view(session, the_event(session))


def get_page(db: Database, secret: str) -> HeatsPage:
    """Return what a voter sees of the heats; it deals nothing.

    Args:
        db: the event's database.
        secret: the voter's.

    Raises:
        BadSecret: The secret has the wrong form.
    """
    with db.reading() as session:
        event, identity = the_event(session), identify(session, secret)
        is_open = _is_open(event)
        judged = judged_count(session, identity.voter_id)
        pair = _dealt(session, identity) if is_open else None
        shown = _pair_view(session, identity, pair, judged) if pair else None
        return HeatsPage(is_open, judged, shown, _refusal(session, identity))


def deal(db: Database, secret: str, *, now: float) -> None:
    """Deal a pair to a voter who has none. Nothing changes where the voter has one, or has judged all.

    Args:
        db: the event's database.
        secret: the voter's.
        now: seconds since the epoch.

    Raises:
        BadSecret: The secret has the wrong form.
        HeatsNotOpen: The heats are not open.
        TicketNeeded, TicketUnknown, TicketVoid, TicketSpare, PinNeeded: The voter is not admitted (`identity`).
        TicketTooNewForHeats: The voter's card replaced another one after the heats had begun.
    """

    def job(session: Session) -> None:
        identity = identify(session, secret)
        if not _is_open(the_event(session)):
            raise HeatsNotOpen
        _require_judge(session, identity)
        if _dealt(session, identity) is None:
            _deal(session, identity, now)

    db.submit(job)


def judge(db: Database, pair: int, secret: str, side: str, *, now: float) -> None:
    """Take a judgement of the pair that was dealt, and deal the next. The same judgement again changes nothing.

    Args:
        db: the event's database.
        pair: number of the pair, as the page says.
        secret: the voter's.
        side: "left" or "right", as this voter sees them.
        now: seconds since the epoch.

    Raises:
        BadSecret: The secret has the wrong form.
        BadSide: The side is neither left nor right.
        HeatsNotOpen: The heats are not open.
        JudgedTooSoon: The pair was dealt a moment ago.
        TicketNeeded, TicketUnknown, TicketVoid, TicketSpare, PinNeeded, TicketTooNewForHeats: As in `deal`.
        PairGone: It is not this voter's pair, or one of its verses has left the event.
    """
    if side not in ("left", "right"):
        raise BadSide

    def job(session: Session) -> None:
        identity = identify(session, secret)
        if not _is_open(the_event(session)):
            raise HeatsNotOpen
        _require_judge(session, identity)
        row = session.get(Judgement, pair)
        if row is None or row.voter_id != identity.voter_id:
            raise PairGone
        if row.choice is not None:  # a second tap
            return
        if _dealt(session, identity) is None:
            raise PairGone
        if now < row.dealt_at + LEAST_SECONDS:
            raise JudgedTooSoon
        left = left_side(identity.voter_id, f"{row.upper_id}/{row.lower_id}")
        row.choice = left if side == "left" else "lower" if left == "upper" else "upper"
        row.judged_at = now
        session.flush()
        _deal(session, identity, now)

    db.submit(job)


def _is_open(event: Event) -> bool:
    return event.heats == "open" and allows(event.state, Action.JUDGE_PAIR)


def _refusal(session: Session, identity: Identity) -> ArenaError | None:
    """Return why somebody may not judge. Who has a new card for a lost one may have judged with that one."""
    if identity.refusal is not None or identity.votes_from is None:
        return identity.refusal
    begun = session.scalar(select(func.min(LogRecord.at)).where(LogRecord.kind == "heats-opened"))
    return TicketTooNewForHeats() if begun is not None and begun <= identity.votes_from else None


def _require_judge(session: Session, identity: Identity) -> None:
    """Check that somebody may judge; raises what `_refusal` returns."""
    if refusal := _refusal(session, identity):
        raise refusal


def _dealt(session: Session, identity: Identity) -> Judgement | None:
    """Return the pair that the voter has to judge, if both its verses still take part."""
    row = session.scalars(
        select(Judgement).where(Judgement.voter_id == identity.voter_id, Judgement.choice.is_(None))
    ).first()
    return row if row is not None and len(_verses(session, row)) == 2 else None


def _verses(session: Session, row: Judgement) -> Sequence[Entry]:
    """Return the verses of a pair that still take part, the upper one first."""
    query = select(Entry).where(Entry.id.in_((row.upper_id, row.lower_id)), TAKING_PART)
    return session.scalars(query.order_by(Entry.id)).all()


def _deal(session: Session, identity: Identity, now: float) -> None:
    """Deal the next pair to a voter, in place of one whose verses have left."""
    voter = identity.voter_id
    session.execute(delete(Judgement).where(Judgement.voter_id == voter, Judgement.choice.is_(None)))
    of_owner = select(CoAuthor.entry_id).where(CoAuthor.owner_id == identity.owner_id)
    may_judge = (TAKING_PART, Entry.owner_id != identity.owner_id, Entry.id.not_in(of_owner))
    dealt = {row.id: row.dealt for row in session.execute(select(Entry.id, Entry.dealt).where(*may_judge))}
    own = select(Judgement.upper_id, Judgement.lower_id).where(Judgement.voter_id == voter)
    judged = {(upper, lower) for upper, lower in session.execute(own)}
    pair = choose_pair(voter, dealt, judged, lambda entry: _meetings(session, entry))
    if pair is not None:
        session.add(Judgement(voter_id=voter, upper_id=pair[0], lower_id=pair[1], dealt_at=now))
        session.execute(update(Entry).where(Entry.id.in_(pair)).values(dealt=Entry.dealt + 1))
        session.flush()


def _meetings(session: Session, entry: str) -> dict[str, int]:
    """Count how often a verse was dealt with each other one."""
    group = (Judgement.upper_id, Judgement.lower_id)
    of_entry = or_(Judgement.upper_id == entry, Judgement.lower_id == entry)
    rows = session.execute(select(*group, func.count()).where(of_entry).group_by(*group))
    return {lower if upper == entry else upper: count for upper, lower, count in rows}


def _pair_view(session: Session, identity: Identity, row: Judgement, judged: int) -> PairView:
    upper, lower = _verses(session, row)
    shown = (upper, lower)
    if left_side(identity.voter_id, f"{row.upper_id}/{row.lower_id}") == "lower":
        shown = (lower, upper)
    left, right = shown
    sides = BallotSide("A", left.text, left.prompt), BallotSide("B", right.text, right.prompt)
    return PairView(row.id, judged + 1, *sides)


def _view(session: Session, event: Event, ranking: Ranking | None = None) -> HeatsView:
    """Return the state of the heats.

    Args:
        session: any transaction.
        event: the event.
        ranking: as it is now, if it has just been computed.
    """
    ranking = ranking or read_ranking(session)
    entries = {entry.id: entry for entry in session.scalars(select(Entry).where(TAKING_PART))}
    counts = [verse.judgements for verse in ranking.ranked]
    return HeatsView(
        state=event.heats,
        entries=len(entries),
        judgements=judged_count(session),
        voters=session.scalar(select(func.count(Judgement.voter_id.distinct())).where(JUDGED)) or 0,
        least=min(counts, default=0),
        most=max(counts, default=0),
        ranking=[
            RankedView(
                entry=verse.entry,
                place=verse.place,
                share=verse.share,
                low=share_of(verse.low),
                high=share_of(verse.high),
                judgements=verse.judgements,
                text=entries[verse.entry].text,
                prompt=entries[verse.entry].prompt,
                name=None,
            )
            for verse in ranking.ranked
        ],
        cuts=list(ranking.cuts.values()),
    )
