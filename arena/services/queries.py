"""Queries for pages, commands and the snapshot: they write nothing, and return nothing that is still secret.

A verse is public from the opening of its first match. Its author and everything else are public from the closing of its
last match.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from arena.errors import AmbiguousEntry, EntryNotFound
from arena.rules.bracket import VOTED, round_title, title_of
from arena.rules.heats import share_of
from arena.rules.lifecycle import ENTRY_STATES, UNDECIDED, Action, allows, has_champion, phase_at
from arena.rules.names import names_author, skeleton
from arena.rules.timetable import round_vote_seconds
from arena.services.advice import advice_of, retraining_of
from arena.services.bracket_view import BracketView, count_votes, read_podium
from arena.services.entries import may_reinstate, reason_of
from arena.services.events import the_event, view_of
from arena.services.judgements import judged_count
from arena.services.log import head
from arena.services.planning import plan_voting
from arena.services.race import count_race
from arena.services.schemas import (
    Announced,
    ConsoleEntry,
    ConsoleView,
    EntryCounts,
    EntryView,
    HeatsCounts,
    MatchCounts,
    MatchView,
    OpenMatch,
    OpenRound,
    PracticeCounts,
    RankedView,
    ResultsView,
    Side,
    Snapshot,
    StageView,
)
from arena.services.tickets import count_tickets
from arena.services.verification import queue_places
from arena.store.schema import (
    TAKING_PART,
    CoAuthor,
    Entry,
    Event,
    Judgement,
    LogRecord,
    Match,
    PinVoter,
    PracticeVote,
    Vote,
)
from arena.store.unit_of_work import Database
from trainer.verse import strictjson

RECENT = 30  # records of the log on the console
MAX_ALIKE = 3  # names that look the same, shown beside one


def announced(db: Database) -> Announced:
    """Return what every page says of the event."""
    with db.reading() as session:
        event = the_event(session)
        return Announced(event.name, event.address)


def snapshot(db: Database, *, now: float) -> Snapshot:
    """Return the snapshot that every phone gets, by a few small queries."""
    with db.reading() as session:
        event = the_event(session)
        number, _ = head(session)
        rounds = session.scalar(select(func.max(Match.round))) or 0
        shape = (Match.id, Match.round, Match.number)
        clock = (Match.votes_from, Match.closes_at, Match.paused_at)
        rows = session.execute(
            select(*shape, Match.poll, Match.poll_round, *clock)
            .where(Match.state == "open")
            .order_by(Match.poll_round.desc(), Match.position)
        ).all()
        opened = rows[0] if rows else None
        last = session.scalar(
            select(Match.id)
            .where(Match.state == "closed", Match.decided_by.in_(VOTED))
            .order_by(Match.closed_at.desc(), Match.position.desc())
            .limit(1)
        )
        following = session.execute(
            select(*shape)
            .where(Match.state == "pending", Match.upper_id.is_not(None), Match.lower_id.is_not(None))
            .order_by(Match.position)
            .limit(1)
        ).first()
        by_state = dict(
            session.execute(
                select(Match.state, func.count()).where(Match.decided_by.is_distinct_from("bye")).group_by(Match.state)
            ).all()
        )
        match = opened and OpenMatch(
            id=opened.id,
            title=title_of(opened.id, opened.round, opened.number, rounds),
            round=opened.round,
            poll_round=opened.poll_round,
            opens_at=opened.votes_from if (opened.votes_from or 0.0) > (opened.paused_at or now) else None,
            closes_at=opened.closes_at if opened.paused_at is None else None,
            paused=opened.paused_at is not None,
            votes=count_votes(session, opened.id, opened.poll, opened.poll_round),
            poll=opened.poll,
        )
        return Snapshot(
            event=event.name,
            state=event.state,
            phase=phase_at(event, now, voting=opened is not None),
            admission=event.admission,
            closes_at=event.closes_at,
            grace_ends_at=event.grace_ends_at,
            match=match,
            round=OpenRound(round_title(rows[0].round, rounds), len(rows), _round_votes(session))
            if len(rows) > 1
            else None,
            practice=_practice(session, event),
            heats=_heats(session, event),
            race=count_race(session, event, now),
            last=last,
            next=title_of(following.id, following.round, following.number, rounds) if following else None,
            entries=EntryCounts(**_counts(session)),
            matches=MatchCounts(closed=by_state.get("closed", 0), total=sum(by_state.values())),
            champion=read_podium(session).champion if has_champion(event.state) else None,
            address=event.address,
            edits=event.edits,
            epoch=event.epoch,
            version=number,
        )


def stage_view(db: Database, *, now: float) -> StageView:
    """Return what the stage shows."""
    with db.reading() as session:
        bracket_view = BracketView.load(session, now)
        number, digest = head(session)
        return StageView(
            event=view_of(bracket_view.event),
            phase=phase_at(bracket_view.event, now, voting=bracket_view.open is not None),
            counts=_counts(session),
            playing=sum(entry.seed is not None for entry in bracket_view.entries.values()),
            voters=_voters(session, bracket_view.event),
            open=bracket_view.open,
            opened=bracket_view.opened,
            last=max(bracket_view.voted, key=lambda match: match.closed_at or 0.0, default=None),
            next=bracket_view.next,
            rounds=bracket_view.rounds(),
            champion=bracket_view.champion,
            champion_facts=_facts_of(session, bracket_view.champion),
            second=bracket_view.second,
            third=bracket_view.third,
            log_number=number,
            log_hash=digest,
        )


def results_view(db: Database, *, now: float) -> ResultsView:
    """Return the public results: closed matches with verses and tallies, and the names that are public."""
    with db.reading() as session:
        bracket_view = BracketView.load(session, now)
        number, digest = head(session)
        closed = [match for match in bracket_view.matches if match.state == "closed" and match.upper and match.lower]
        return ResultsView(
            event=view_of(bracket_view.event),
            phase=phase_at(bracket_view.event, now, voting=bracket_view.open is not None),
            voters=_voters(session, bracket_view.event),
            matches=sorted(closed, key=lambda match: match.closed_at or 0.0, reverse=True),
            champion=bracket_view.champion,
            second=bracket_view.second,
            third=bracket_view.third,
            heats=_ranking(session, bracket_view),
            log_number=number,
            log_hash=digest,
        )


def entry_view(db: Database, entry_id: str, *, now: float) -> EntryView:
    """Return one entry for everybody, after its last match.

    Args:
        db: the event's database.
        entry_id: the entry.
        now: seconds since the epoch.

    Raises:
        EntryNotFound: There is none, it is still secret, or it was disqualified.
    """
    with db.reading() as session:
        bracket_view = BracketView.load(session, now)
        entry = session.get(Entry, entry_id)
        if entry is None or entry.bundle is None or not bracket_view.is_done(entry_id):
            raise EntryNotFound
        return EntryView(
            entry=entry.id,
            name=bracket_view.names[entry_id],
            seed=entry.seed,
            heat_place=entry.heat_place,
            text=entry.text,
            prompt=entry.prompt,
            bundle=entry.bundle,
            facts=entry.facts,
            matches=[
                m for m in bracket_view.matches if entry_id in (side.entry for side in (m.upper, m.lower) if side)
            ],
            champion=bracket_view.champion is not None and bracket_view.champion.entry == entry_id,
        )


def console_view(db: Database, *, now: float) -> ConsoleView:
    """Return what the console shows to the organizer."""
    with db.reading() as session:
        bracket_view = BracketView.load(session, now)
        number, digest = head(session)
        counts, entries = _counts(session), _console_entries(session, bracket_view.event)
        recent = session.scalars(select(LogRecord).order_by(LogRecord.number.desc()).limit(RECENT))
        return ConsoleView(
            event=view_of(bracket_view.event),
            phase=phase_at(bracket_view.event, now, voting=bracket_view.open is not None),
            counts=counts,
            held=sum(entry.held and entry.state == "verified" for entry in entries),
            pending=sum(counts[state] for state in UNDECIDED),
            entries=entries,
            matches=bracket_view.matches,
            open=bracket_view.open,
            opened=bracket_view.opened,
            unserved_since=_unserved_since(session, bracket_view.open),
            practice=_practice(session, bracket_view.event),
            ready=bracket_view.ready_together,
            ready_seconds=round_vote_seconds(bracket_view.ready_together, bracket_view.event.match_seconds),
            next=bracket_view.next,
            champion=bracket_view.champion,
            third=bracket_view.third,
            voting=plan_voting(
                counts["verified"],
                voters=_voters(session, bracket_view.event),
                match_seconds=bracket_view.event.match_seconds,
                reading_seconds=bracket_view.event.reading_seconds,
            ),
            voted=session.scalar(select(Vote.match_id).limit(1)) is not None,
            judgements=judged_count(session),
            tickets=count_tickets(session),
            begun=session.scalar(select(Match.id).where(Match.opened_at.is_not(None)).limit(1)) is not None
            or judged_count(session) > 0,
            log_number=number,
            log_hash=digest,
            recent=[
                {
                    "number": record.number,
                    "at": record.at,
                    "kind": record.kind,
                    "data": strictjson.parse(record.data.encode()),
                }
                for record in recent
            ],
        )


def list_entries(db: Database) -> list[ConsoleEntry]:
    """List all entries for the organizer, in the order of their claims."""
    with db.reading() as session:
        return _console_entries(session, the_event(session))


def find_entry(db: Database, prefix: str) -> str:
    """Find the one entry whose id begins with `prefix`.

    Returns:
        The whole id.

    Raises:
        EntryNotFound: No id begins so.
        AmbiguousEntry: Several ids begin so.
    """
    with db.reading() as session:
        ids = session.scalars(select(Entry.id).where(Entry.id.startswith(prefix.lower(), autoescape=True))).all()
    if not ids:
        raise EntryNotFound(prefix)
    if len(ids) > 1:
        raise AmbiguousEntry(prefix, len(ids))
    return ids[0]


def read_seeds(db: Database, text: str) -> list[str]:
    """Read seeds by hand: a line for each verse, seed 1 first, with the beginning of its entry's id as first word.

    Args:
        db: the event's database.
        text: the lines; what follows the id, empty lines and lines with # make no difference.

    Returns:
        Whole ids.

    Raises:
        EntryNotFound: No id begins so.
        AmbiguousEntry: Several ids begin so.
    """
    words = [line.split()[0] for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    return [find_entry(db, word) for word in words]


def get_open_match(db: Database, *, now: float) -> MatchView | None:
    """Return the match that is open."""
    with db.reading() as session:
        return BracketView.load(session, now).open


def get_next_match(db: Database, *, now: float) -> MatchView | None:
    """Return the first match that can be opened."""
    with db.reading() as session:
        return BracketView.load(session, now).next


def log_head(db: Database) -> tuple[int, str]:
    """Return number and hash of the log's latest record; (0, zeros) before the first."""
    with db.reading() as session:
        return head(session)


def latest_record(db: Database) -> int:
    """Return the number of the log's latest record; 0 before the first."""
    with db.reading() as session:
        return head(session)[0]


def _unserved_since(session: Session, opened: MatchView | None) -> float | None:
    """Return since when the open match stands still because the server was away; None: it does not, or was paused."""
    if opened is None or not opened.paused:
        return None
    paused = select(LogRecord.data).where(LogRecord.kind == "match-paused").order_by(LogRecord.number.desc()).limit(1)
    record = session.scalar(paused)
    return strictjson.parse(record.encode()).get("since") if record else None


def _voters(session: Session, event: Event) -> int | None:
    """Count who may vote; None: everybody."""
    if event.admission == "tickets":
        return count_tickets(session).valid
    if event.admission == "pin":
        return session.scalar(select(func.count()).select_from(PinVoter)) or 0
    return None


def _facts_of(session: Session, side: Side | None) -> dict[str, Any] | None:
    return session.scalar(select(Entry.facts).where(Entry.id == side.entry)) if side is not None else None


def _round_votes(session: Session) -> int:
    """Count the votes cast in all open matches."""
    of_match = (Vote.match_id == Match.id) & (Vote.poll == Match.poll) & (Vote.poll_round == Match.poll_round)
    query = select(func.count()).select_from(Vote).join(Match, of_match).where(Match.state == "open")
    return session.scalar(query) or 0


def _practice(session: Session, event: Event) -> PracticeCounts | None:
    if event.practice_at is None:
        return None
    votes = session.scalar(select(func.count()).select_from(PracticeVote)) or 0
    return PracticeCounts(event.practice_closes_at, votes)


def _counts(session: Session) -> dict[str, int]:
    """Count entries by state. A verse that is held back does not take part, so it is not counted as verified."""
    taking_part = ~(Entry.held & (Entry.state == "verified"))
    counts = dict(session.execute(select(Entry.state, func.count()).where(taking_part).group_by(Entry.state)).all())
    return {state: counts.get(state, 0) for state in ENTRY_STATES}


def _ranking(session: Session, bracket_view: BracketView) -> list[RankedView]:
    """Return the ranking of the heats with the names that are public, once there is a champion."""
    if not has_champion(bracket_view.event.state):
        return []
    rows = session.scalars(
        select(Entry).where(Entry.heat_place.is_not(None), TAKING_PART).order_by(Entry.heat_place, Entry.seed, Entry.id)
    )
    return [
        RankedView(
            entry=row.id,
            place=row.heat_place or 0,
            share=share_of(row.heat_strength or 0.0),
            low=share_of(row.heat_low or 0.0),
            high=share_of(row.heat_high or 0.0),
            judgements=row.heat_judgements or 0,
            text=row.text,
            prompt=row.prompt,
            name=bracket_view.names.get(row.id),
        )
        for row in rows
    ]


def _heats(session: Session, event: Event) -> HeatsCounts | None:
    if event.heats != "open" or not allows(event.state, Action.JUDGE_PAIR):
        return None
    counts = select(func.count(), func.count(Judgement.voter_id.distinct())).where(Judgement.choice.is_not(None))
    judgements, voters = session.execute(counts).one()
    return HeatsCounts(judgements, voters)


def _console_entries(session: Session, event: Event) -> list[ConsoleEntry]:
    rows: Sequence[Entry] = session.scalars(select(Entry).order_by(Entry.claimed_at, Entry.id)).all()
    by_claim: dict[str, list[Entry]] = {}
    by_look: dict[str, dict[str, str]] = {}  # names by owner
    for row in rows:
        by_claim.setdefault(row.claim_digest, []).append(row)
        others = by_look.setdefault(skeleton(row.name), {})
        if len(others) <= MAX_ALIKE:
            others[row.owner_id] = row.name
    places = queue_places(session)
    coauthors = dict(session.execute(select(CoAuthor.entry_id, func.count()).group_by(CoAuthor.entry_id)).all())
    return [
        ConsoleEntry(
            entry=row.id,
            owner=row.owner_id,
            name=row.name,
            state=row.state,
            reason=reason_of(event, row, places.get(row.id)),
            received=row.received,
            size=row.size,
            place=places.get(row.id),
            attempt=row.attempt,
            failures=row.failures,
            worker=row.worker if row.state == "verifying" else None,
            text=row.text,
            claimed_at=row.claimed_at,
            prompt=row.prompt,
            seed=row.seed,
            duplicates=[duplicate.id for duplicate in by_claim[row.claim_digest] if duplicate.owner_id != row.owner_id],
            alike=[name for owner, name in by_look[skeleton(row.name)].items() if owner != row.owner_id][:MAX_ALIKE],
            may_reinstate=may_reinstate(event, row),
            coauthors=coauthors.get(row.id, 0),
            masked=row.masked,
            held=row.held,
            names_author=names_author(row.prompt + row.text, row.name),
            advice=advice_of(row),
            retraining=retraining_of(row),
        )
        for row in rows
    ]
