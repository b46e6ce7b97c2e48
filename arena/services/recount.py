"""The recount of all votes, before the results are published."""

from __future__ import annotations

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from arena.errors import ResultsDiffer, VotersDiffer
from arena.rules.results import CastVotes, CountedPoll, compute_results
from arena.rules.tally import POLL_ROUNDS
from arena.rules.voters import voters_digest
from arena.services.judgements import digest_of_judgements, read_ranking
from arena.services.voting import digest_of_votes
from arena.store.schema import Entry, Event, IssuedVoter, Judgement, LogRecord, Match, Vote
from trainer.verse import strictjson


def check_results(session: Session, event: Event) -> None:
    """Compute every result again from the votes, and compare it with the one that the database holds.

    Args:
        session: any transaction.
        event: its event.

    Raises:
        ResultsDiffer: A match has another winner, or its votes are not those that were counted.
        VotersDiffer: Somebody voted without a ticket, or the tickets are not those that were issued.
    """
    for record in session.scalars(select(LogRecord).where(LogRecord.kind == "votes-counted")):
        data = strictjson.parse(record.data.encode())
        match, poll, poll_round = data["match"], data["poll"], data["poll_round"]
        if digest_of_votes(session, event.salt, match, poll, poll_round) != data["votes"]:
            raise ResultsDiffer(match)
    _check_heats(session, event)
    if event.admission == "tickets":
        _check_voters(session)
    matches = session.scalars(select(Match).order_by(Match.position)).all()
    entries = session.execute(select(Entry.id, Entry.state).where(Entry.seed.is_not(None)).order_by(Entry.seed)).all()
    group = (Vote.match_id, Vote.poll, Vote.poll_round, Vote.choice)
    votes = [CastVotes(*row) for row in session.execute(select(*group, func.count()).group_by(*group))]
    polls = [
        CountedPoll(row.id, row.decided_poll, row.decided_upper_id, row.decided_lower_id, POLL_ROUNDS)
        for row in matches
        if row.decided_poll is not None and row.decided_upper_id and row.decided_lower_id
    ]
    results = compute_results(
        [entry.id for entry in entries],
        polls,
        votes,
        draw_digest=event.draw_digest,
        disqualified=[entry.id for entry in entries if entry.state == "disqualified"],
    )
    for row in matches:
        if (results.standings[row.id].winner or None) != row.winner_id:
            raise ResultsDiffer(row.id)


def _check_heats(session: Session, event: Event) -> None:
    """Check that the judgements of the heats are those that were counted.

    Raises:
        ResultsDiffer: They are not.
    """
    query = select(LogRecord).where(LogRecord.kind == "heats-closed").order_by(LogRecord.number.desc()).limit(1)
    record = session.scalars(query).first()
    if record is None or event.heats != "closed":
        return
    counted = strictjson.parse(record.data.encode())
    places = dict(session.execute(select(Entry.id, Entry.heat_place).where(Entry.heat_place.is_not(None))).all())
    ranking = [[verse.entry, verse.place] for verse in read_ranking(session, list(places)).ranked]
    same = digest_of_judgements(session, event.salt) == counted["judgements"]
    if not same or ranking != counted["ranking"]:
        raise ResultsDiffer("the heats")


def _check_voters(session: Session) -> None:
    """Check that each voter has a ticket that the log committed to."""
    batches = []
    for record in session.scalars(select(LogRecord).where(LogRecord.kind == "tickets-issued")):
        data = strictjson.parse(record.data.encode())
        issued = session.scalars(select(IssuedVoter.voter_id).where(IssuedVoter.batch == data["batch"])).all()
        if voters_digest(issued) != data["voters"]:
            raise VotersDiffer(f"the tickets of batch {data['batch']} are not those that the log committed to")
        batches.append(data["batch"])
    committed = select(IssuedVoter.voter_id).where(IssuedVoter.batch.in_(batches))
    voted = select(Vote.id).where(Vote.voter_id.not_in(committed)).limit(1)
    judged = select(Judgement.id).where(Judgement.voter_id.not_in(committed)).limit(1)
    if session.scalar(voted) is not None or session.scalar(judged) is not None:
        raise VotersDiffer("somebody voted without a ticket")
