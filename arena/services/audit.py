"""The audit of the tables: every fact of them must follow from the log.

A new column of a fact gets its value here and in `rules.rebuild`; a column that decides nothing stands in
`NOT_FACTS`, with the reason.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from arena.audit.page import Check, Page
from arena.errors import TablesDiffer
from arena.rules.chain import (
    Record,
    bundle_digest,
    coauthors_digest,
    commitment,
    compute_entry_id,
    entry_key,
    find_fault,
    fingerprint,
    log_salt,
    nonce,
    reason_digest,
)
from arena.rules.comparison import Difference, compare, compare_ballots, compare_judgements, compare_voters, ranking_of
from arena.rules.draw import left_side, salt_digest
from arena.rules.facts import AttemptFacts, Ballots, EntryFacts, EventFacts, Facts, Judgements, MatchFacts, TicketFacts
from arena.rules.rebuild import Impossible, rebuild
from arena.services.digests import digest_of_report, digests_of_card, digests_of_claim
from arena.services.events import rules_of, the_event
from arena.services.judgements import read_judgements
from arena.services.log import head, read_records
from arena.services.voting import minute_of
from arena.store.bundles import BundleStore
from arena.store.schema import (
    CoAuthor,
    Entry,
    Event,
    IssuedVoter,
    Match,
    Owner,
    RacePoint,
    RaceRun,
    Ticket,
    Verification,
    Vote,
)
from arena.store.unit_of_work import Database
from trainer.verse.text import pluralize

ROUNDING = 1e-6  # by which the strengths of a ranking may differ between machines
NOT_FACTS = {
    "events.id": "the one row",
    "events.edits": "a counter by which pages know that a name has changed",
    "events.practice_at": "the vote for practice counts for nothing",
    "events.practice_closes_at": "the vote for practice counts for nothing",
    "practice_votes.voter_id": "the vote for practice counts for nothing",
    "practice_votes.choice": "the vote for practice counts for nothing",
    "practice_votes.changes": "the vote for practice counts for nothing",
    "events.address": "where the pages are",
    "owners.created_at": "decides nothing; the claims have their times",
    "owners.changes": "a counter for a limit; the log has each change",
    "entries.turn_at": "the place in the queue of checks",
    "entries.cost": "an estimate from the header",
    "entries.memory": "an estimate from the header",
    "entries.received": "the state of an upload",
    "entries.heard_at": "the state of an upload",
    "entries.worker": "who checks it now",
    "entries.lease_until": "who checks it now",
    "entries.not_before": "when a check is tried again",
    "entries.failures": "when a check is tried again",
    "entries.advice": "what checks of the organizer found: advice, which decides nothing",
    "verifications.id": "a number of the database",
    "verifications.worker": "who checked it",
    "entries.dealt": "a counter for the next pairs",
    "pin_voters.voter_id": "the log does not have who typed the PIN",
    "pin_voters.admitted_at": "the log does not have who typed the PIN",
    "judgements.id": "a number of the database",
    "judgements.dealt_at": "decides nothing",
    "judgements.judged_at": "decides nothing",
    "votes.id": "a number of the database",
    "votes.changes": "a counter for a limit",
    "events.race": "whether the trainings are shown",
    **{
        f"{table}.{column.name}": "what trainers say of their runs, which nobody can check; the log does not have it"
        for table, model in (("race_runs", RaceRun), ("race_points", RacePoint))
        for column in model.__table__.columns
    },
    "log.number": "the log itself",
    "log.at": "the log itself",
    "log.kind": "the log itself",
    "log.data": "the log itself",
    "log.hash": "the log itself",
    "version.id": "a number of the database",
    "version.number": "a number of the database",
}


def audit_tables(db: Database, bundles: BundleStore, *, receipt_key: str | None = None) -> Page:
    """Rebuild the tables of an event from its log, and compare them, the votes and the bundles with it.

    Args:
        db: the event's database.
        bundles: the store of whole bundles.
        receipt_key: the public key that signs the event's receipts; None: not compared.
    """
    with db.reading() as session:
        event = the_event(session)
        page = Page(f"Audit of the tables of “{event.name}”, {event.state}")
        number, digest = head(session)
        page.head = f"record {number}, {digest}"
        records = list(read_records(session))
        if (fault := find_fault(records)) is not None:
            page.checks.append(Check("chain of the log", differences=[f"record {fault.number} {fault.why}"]))
            return page
        page.checks.append(Check("chain of the log", agrees=pluralize(number, "record")))
        try:
            facts = rebuild(records)
        except Impossible as error:
            page.checks.append(Check("order of the records", differences=[str(error)]))
            return page
        differences = [str(difference) for difference in find_differences(session, facts)]
        if receipt_key is not None:
            page.key = fingerprint(receipt_key)
            if facts.receipt_key not in (None, receipt_key):
                differences.append("secrets.json has another key for receipts than the log")
        rows = len(facts.entries) + len(facts.matches) + len(facts.attempts)
        votes = session.scalar(select(func.count()).select_from(Vote)) or 0
        counted = sum(tally.upper + tally.lower for tally in (counted.tally for counted in facts.counted.values()))
        agrees = f"{pluralize(rows, 'row')} and {pluralize(votes, 'vote')} are what the log gives"
        page.checks.append(Check("tables and votes", agrees, differences))
        playing = session.execute(select(Entry.id, Entry.bundle).where(Entry.seed.is_not(None))).all()
    missing = [entry for entry, bundle in playing if bundle is None or not bundles.is_whole(bundle)]
    text = [f"entry {entry}: its bundle is missing, or not the one that its name says" for entry in missing]
    page.checks.append(Check("bundles of the bracket", f"{pluralize(len(playing), 'file')} with its digest", text))
    if votes > counted:
        open_votes = pluralize(votes - counted, "vote")
        page.unknown.append(f"{open_votes} in rounds that were not counted: no digest holds them.")
    page.unknown.append("That this log is the one the room saw: compare its head with a photograph of the stage.")
    page.unknown.append("That the verses are the models' own: `arena audit FILE` of an export writes them again.")
    return page


def check_tables(session: Session, records: Sequence[Record] | None = None) -> Facts:
    """Check that everything in the tables follows from the log, before the results are published.

    Args:
        session: any transaction.
        records: the log, if it was read already.

    Returns:
        What the log gives.

    Raises:
        TablesDiffer: It does not.
    """
    try:
        facts = rebuild(read_records(session) if records is None else records)
    except Impossible as error:
        raise TablesDiffer(str(error)) from None
    for difference in find_differences(session, facts):
        raise TablesDiffer(str(difference))
    return facts


def find_differences(session: Session, facts: Facts) -> Iterator[Difference]:
    """Find every fact of the tables that is not what the log gives.

    Args:
        session: any transaction.
        facts: what the log gives.
    """
    event = the_event(session)
    yield from compare(facts, read_facts(session, event))
    known = set(session.scalars(select(Owner.id)))
    owners = defaultdict(list)
    for entry in session.scalars(select(Entry).order_by(Entry.id)):
        if compute_entry_id(entry.owner_id, entry.claim_digest) != entry.id:
            yield Difference(f"entry {entry.id}", "owner_id", "an owner whose id gives the entry's", "another")
        if entry.owner_id not in known:
            yield Difference(f"owner {entry.owner_id}", "row", "one", "none")
        if entry.state == "verified":
            owners[entry.owner_id].append(entry.id)
    for owner, held in owners.items():
        if len(held) > 1:
            yield Difference(f"owner {owner}", "verses", "one that takes part", f"{len(held)}")
    yield from compare_ballots(facts, read_ballots(session), log_salt(event.salt))
    judgements = read_judgements(session)
    voted = {*session.scalars(select(Vote.voter_id)), *(judgement[0] for judgement in judgements)}
    yield from compare_voters(facts, read_voters(session), voted)
    yield from compare_judgements(facts, judgements, log_salt(event.salt))
    yield from _compare_strengths(session, facts, judgements)
    for vote in session.scalars(select(Vote).order_by(Vote.id)):
        if vote.shown_left != left_side(vote.voter_id, vote.match_id):
            yield Difference(f"vote {vote.id} on {vote.match_id}", "shown_left", "the other side", vote.shown_left)


def read_facts(session: Session, event: Event) -> Facts:
    """Read the facts that the tables hold."""
    secret = event.salt
    found = Facts(
        EventFacts(
            name=event.name,
            state=event.state,
            rules=vars(rules_of(event)),
            created_at=event.created_at,
            closes_at=event.closes_at,
            closed_at=event.closed_at,
            grace_ends_at=event.grace_ends_at,
            drawn_at=event.drawn_at,
            draw_word=event.draw_word,
            draw_salt_digest=salt_digest(event.draw_salt) if event.draw_salt else "",
            draw_digest=event.draw_digest,
            epoch=event.epoch,
            admission=event.admission,
            heats=event.heats,
            seeding=event.seeding,
            salt_digest=commitment(log_salt(secret)),
            nonce_digest=commitment(nonce(secret)),
        )
    )
    coauthors = defaultdict(list)
    for entry_id, owner_id in session.execute(select(CoAuthor.entry_id, CoAuthor.owner_id)):
        coauthors[entry_id].append(owner_id)
    for entry in session.scalars(select(Entry)):
        found.entries[entry.id] = EntryFacts(
            id=entry.id,
            **digests_of_claim(entry, secret),  # type: ignore[arg-type]
            claimed_at=entry.claimed_at,
            state=entry.state,
            code=entry.code,
            reason=reason_digest(entry_key(secret, entry.id), entry.reason),
            attempt=entry.attempt,
            verdict=entry.verdict,
            seed=entry.seed,
            heat_place=entry.heat_place,
            masked=entry.masked,
            name_set=entry.name_set,
            held=entry.held,
            coauthors=coauthors_digest(log_salt(secret), entry.id, coauthors[entry.id]),
        )
    for row in session.scalars(select(Verification)):
        report = None if row.report is None else digest_of_report(log_salt(secret), row.entry_id, row.report)
        found.attempts[row.entry_id, row.attempt] = AttemptFacts(
            bundle_digest(log_salt(secret), row.entry_id, row.bundle),
            row.started_at,
            row.ended_at,
            row.verdict,
            report,
        )
    for ticket in session.scalars(select(Ticket)):
        card, owner = digests_of_card(secret, ticket.number, ticket.id, ticket.owner_id)
        values = (ticket.number, ticket.batch, ticket.state, card, owner, ticket.votes_from)
        found.tickets[str(ticket.number)] = TicketFacts(*values)
    names = MatchFacts.__dataclass_fields__
    for match in session.scalars(select(Match)):
        found.matches[match.id] = MatchFacts(**{name: getattr(match, name) for name in names})
    return found


def read_voters(session: Session) -> dict[int, list[str]]:
    """Read the ids of the voters to whom cards were issued, by batch."""
    voters = defaultdict(list)
    for batch, voter in session.execute(select(IssuedVoter.batch, IssuedVoter.voter_id)):
        voters[batch].append(voter)
    return voters


def _compare_strengths(session: Session, facts: Facts, judgements: Judgements) -> Iterator[Difference]:
    """Compare what the ranking says of each verse, but for what rounding may change."""
    if facts.event.heats == "open":
        return
    ranked = [entry.id for entry in facts.entries.values() if entry.heat_place is not None]
    places = {verse.entry: verse for verse in ranking_of(ranked, judgements)}
    for row in session.scalars(select(Entry).order_by(Entry.id)):
        for name in ("strength", "low", "high", "judgements"):
            mine, theirs = getattr(places.get(row.id), name, None), getattr(row, f"heat_{name}")
            if mine != theirs and (mine is None or theirs is None or abs(mine - theirs) > ROUNDING):
                yield Difference(f"entry {row.id}", f"heat_{name}", f"{mine}", f"{theirs}")


def read_ballots(session: Session) -> Ballots:
    """Read all ballots, by the round in which they were cast."""
    ballots = defaultdict(list)
    query = select(Vote.match_id, Vote.poll, Vote.poll_round, Vote.voter_id, Vote.choice, Vote.cast_at)
    for match, poll, poll_round, voter, choice, at in session.execute(query.order_by(Vote.voter_id)):
        ballots[match, poll, poll_round].append((voter, choice, minute_of(at)))
    return ballots
