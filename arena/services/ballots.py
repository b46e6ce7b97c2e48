"""The votes of one voter that were counted, for the voter, and after the publication for everybody who knows the id."""

from __future__ import annotations

import re

from sqlalchemy import select
from sqlalchemy.orm import Session

from arena.errors import BadVoterId, NotPublished
from arena.rules.bracket import title_of
from arena.services.events import the_event
from arena.services.identity import identify
from arena.services.schemas import CountedVote, VoterView
from arena.services.voting import minute_of
from arena.store.schema import LogRecord, Match, Vote
from arena.store.unit_of_work import Database
from trainer.verse import strictjson

VOTER_ID = "[0-9a-f]{64}"


def votes_of(db: Database, secret: str, *, voter_id: str = "") -> VoterView:
    """Return a voter's votes in the rounds that were counted.

    Args:
        db: the event's database.
        secret: that of the person who asks.
        voter_id: whose votes to show, once the event is published; "": the own ones.

    Raises:
        BadSecret: The secret has the wrong form.
        BadVoterId: It is no voter id.
        NotPublished: The event is not published, and it is another voter's id.
    """
    with db.reading() as session:
        event = the_event(session)
        own = identify(session, secret).voter_id
        asked = voter_id.strip().lower() or own
        if not re.fullmatch(VOTER_ID, asked):
            raise BadVoterId
        if asked != own and event.state != "published":
            raise NotPublished(event.state)
        return VoterView(asked, asked == own, event.state == "published", _counted(session, asked))


def _counted(session: Session, voter_id: str) -> list[CountedVote]:
    votes = {
        (vote.match_id, vote.poll, vote.poll_round): vote
        for vote in session.scalars(select(Vote).where(Vote.voter_id == voter_id))
    }
    if not votes:
        return []
    matches = {match.id: match for match in session.scalars(select(Match))}
    rounds = max((match.round for match in matches.values()), default=0)
    counted = []
    query = select(LogRecord).where(LogRecord.kind == "votes-counted").order_by(LogRecord.number)
    for record in session.scalars(query):
        data = strictjson.parse(record.data.encode())
        vote = votes.get((data["match"], data["poll"], data["poll_round"]))
        match = matches.get(data["match"])
        if vote is None or match is None:
            continue
        counted.append(
            CountedVote(
                title=title_of(match.id, match.round, match.number, rounds),
                poll_round=vote.poll_round,
                label="A" if vote.choice == "upper" else "B",
                minute=minute_of(vote.cast_at),
                tally=[data["upper"], data["lower"]],
                record=record.number,
                undone=match.decided_poll != vote.poll and not (match.state == "open" and match.poll == vote.poll),
            )
        )
    return counted
