"""Tickets: cards with a random code each. One ticket enters one verse and votes once a match.

The database keeps a digest of each code, and apart from it, in no order, the ids of the voters that follow from the
codes: nobody without a card can tell how it voted. The log has a digest of these ids before the first match is opened.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy import func, insert, select
from sqlalchemy.orm import Session

from arena.errors import BadSetting, NoSpareTicket, NoSuchTicket
from arena.rules.lifecycle import TICKET_STATES, Action
from arena.rules.voters import voters_digest
from arena.services.digests import digests_of_card
from arena.services.events import require, the_event
from arena.services.identity import identity_of, ticket_id_of
from arena.services.log import append, require_unchanged
from arena.services.schemas import TicketCounts
from arena.services.voters import require_before_matches
from arena.store.schema import IssuedVoter, Ticket
from arena.store.unit_of_work import Database
from trainer.verse.ticket import new_ticket

MAX_TICKETS = 10_000  # of one event
TICKET_CHANGES = {  # kinds of log records that change tickets, in words
    "tickets-issued": "tickets were issued",
    "tickets-voided": "tickets were declared void",
    "tickets-activated": "spare tickets were activated",
    "ticket-replaced": "a ticket was replaced",
}


@dataclass(frozen=True)
class Card:
    """A ticket as it is printed. Its code is kept nowhere else."""

    number: int
    code: str
    is_spare: bool


def issue(
    db: Database, count: int, spare: int = 0, *, make_code: Callable[[], str] = new_ticket, now: float
) -> list[Card]:
    """Issue tickets, and commit to the ids of their voters in the log.

    Args:
        db: the event's database.
        count: tickets that are valid at once.
        spare: further ones, which are valid once they are activated.
        make_code: returns the code of a new ticket.
        now: seconds since the epoch.

    Returns:
        The cards, by number.

    Raises:
        BadSetting: That is no ticket, or more than an event may have.
        MatchesBegun: A match was opened.
        WrongState: The event is over.
    """
    codes = [make_code() for _ in range(count + spare)] if 0 <= count + spare <= MAX_TICKETS else []
    with db.writing() as session:
        event = the_event(session)
        require(event, Action.ISSUE_TICKETS)
        require_before_matches(session, Action.ISSUE_TICKETS)
        issued, batch = session.execute(select(func.count(), func.max(Ticket.batch)).select_from(Ticket)).one()
        if not codes or min(count, spare) < 0 or issued + len(codes) > MAX_TICKETS:
            raise BadSetting(f"an event has 1 to {MAX_TICKETS:,} tickets, spare ones included", issued=issued)
        batch = (batch or 0) + 1
        cards = [Card(issued + place, code, place > count) for place, code in enumerate(codes, start=1)]
        session.add_all(
            Ticket(
                id=ticket_id_of(card.code),
                number=card.number,
                batch=batch,
                state="spare" if card.is_spare else "valid",
                owner_id=_owner(card),
            )
            for card in cards
        )
        voters = sorted(identity_of(card.code).voter_id for card in cards)  # in an order that tells nothing
        session.flush()
        session.execute(insert(IssuedVoter), [{"voter_id": voter, "batch": batch} for voter in voters])
        data: dict[str, object] = {"batch": batch, "first": cards[0].number, "valid": count, "spare": spare}
        data["voters"] = voters_digest(voters)
        digests = [digests_of_card(event.salt, card.number, ticket_id_of(card.code), _owner(card)) for card in cards]
        data |= {"ids": [card for card, _ in digests], "owners": [owner for _, owner in digests]}
        append(session, "tickets-issued", data, now=now)
        return cards


def void(db: Database, numbers: Sequence[int], *, seen: int | None = None, now: float) -> int:
    """Declare cards void, such as lost ones. What they have entered and voted stays.

    Args:
        db: the event's database.
        numbers: of the cards.
        seen: number of the log's latest record that the caller was shown; None: not checked.
        now: seconds since the epoch.

    Returns:
        How many were not void before.

    Raises:
        AlreadyDone: Tickets have changed since the caller was shown them.
        NoSuchTicket: There is no such card.
        WrongState: The event is over.
    """
    with db.writing() as session:
        tickets = _changing(session, numbers, seen)
        changed = [ticket for ticket in tickets if ticket.state != "void"]
        _void(session, changed, now)
        return len(changed)


def void_batch(db: Database, batch: int, *, now: float) -> int:
    """Declare all cards void that were made together, such as those of a lost sheet.

    Args:
        db: the event's database.
        batch: its number.
        now: seconds since the epoch.

    Returns:
        How many were not void before.

    Raises:
        WrongState: The event is over.
    """
    with db.writing() as session:
        require(the_event(session), Action.CHANGE_TICKETS)
        query = select(Ticket).where(Ticket.batch == batch, Ticket.state != "void").order_by(Ticket.number)
        changed = session.scalars(query).all()
        _void(session, changed, now)
        return len(changed)


def activate(db: Database, numbers: Sequence[int], *, seen: int | None = None, now: float) -> int:
    """Make spare cards valid, for people who have come without a card.

    Args:
        db: the event's database.
        numbers: of the cards.
        seen: number of the log's latest record that the caller was shown; None: not checked.
        now: seconds since the epoch.

    Returns:
        How many were not valid before.

    Raises:
        AlreadyDone: Tickets have changed since the caller was shown them.
        NoSuchTicket: There is no such card, or it is void.
        WrongState: The event is over.
    """
    with db.writing() as session:
        tickets = _changing(session, numbers, seen)
        if voided := next((ticket for ticket in tickets if ticket.state == "void"), None):
            raise NoSuchTicket(voided.number, "is void, and stays so")
        changed = [ticket for ticket in tickets if ticket.state == "spare"]
        for ticket in changed:
            ticket.state = "valid"
        if changed:
            append(session, "tickets-activated", {"numbers": [ticket.number for ticket in changed]}, now=now)
        return len(changed)


def replace(db: Database, number: int, by: int | None = None, *, seen: int | None = None, now: float) -> int:
    """Replace a lost card by a spare one, which takes over its entries, and votes from the next match on.

    Args:
        db: the event's database.
        number: of the lost card.
        by: number of the spare one; None: the first that is left.
        seen: number of the log's latest record that the caller was shown; None: not checked.
        now: seconds since the epoch.

    Returns:
        The number of the new card.

    Raises:
        AlreadyDone: Tickets have changed since the caller was shown them.
        NoSuchTicket: There is no such card, or it is void already.
        NoSpareTicket: No spare card is left.
        WrongState: The event is over.
    """
    with db.writing() as session:
        [lost] = _changing(session, [number], seen)
        if lost.state != "valid":
            raise NoSuchTicket(number, "is void already" if lost.state == "void" else "is a spare one: activate it")
        if by is None:
            query = select(Ticket).where(Ticket.state == "spare").order_by(Ticket.number).limit(1)
            new = session.scalars(query).first()
            if new is None:
                raise NoSpareTicket
        else:
            [new] = _changing(session, [by], None)
            if new.state != "spare":
                raise NoSuchTicket(by, f"is {new.state}, and no spare one")
        new.state, new.owner_id, new.votes_from = "valid", lost.owner_id, now
        lost.state = "void"
        _, owner = digests_of_card(the_event(session).salt, new.number, new.id, new.owner_id)
        append(session, "ticket-replaced", {"number": number, "by": new.number, "owner": owner}, now=now)
        return new.number


def number_of(db: Database, code: str) -> int | None:
    """Return the number of the card with this code; None if the event has not issued it."""
    with db.reading() as session:
        return session.scalar(select(Ticket.number).where(Ticket.id == ticket_id_of(code)))


def count_tickets(session: Session) -> TicketCounts:
    """Count the tickets by state."""
    counts = Counter(dict(session.execute(select(Ticket.state, func.count()).group_by(Ticket.state)).all()))
    return TicketCounts(**{state: counts[state] for state in TICKET_STATES})


def list_tickets(db: Database) -> list[tuple[int, int, str]]:
    """List number, batch and state of every card."""
    with db.reading() as session:
        rows = session.execute(select(Ticket.number, Ticket.batch, Ticket.state).order_by(Ticket.number))
        return [(row.number, row.batch, row.state) for row in rows]


def _owner(card: Card) -> str:
    return identity_of(card.code).owner_id


def _changing(session: Session, numbers: Sequence[int], seen: int | None) -> list[Ticket]:
    """Return cards that may be changed now."""
    require_unchanged(session, seen, TICKET_CHANGES)
    require(the_event(session), Action.CHANGE_TICKETS)
    found = {ticket.number: ticket for ticket in session.scalars(select(Ticket).where(Ticket.number.in_(numbers)))}
    if (missing := next((number for number in numbers if number not in found), None)) is not None:
        raise NoSuchTicket(missing)
    return [found[number] for number in dict.fromkeys(numbers)]


def _void(session: Session, tickets: Sequence[Ticket], now: float) -> None:
    for ticket in tickets:
        ticket.state = "void"
    if tickets:
        append(session, "tickets-voided", {"numbers": [ticket.number for ticket in tickets]}, now=now)
