"""Identities: from a person's secret come ids, as owner and as voter, that nobody else can connect.

Who is asking, and whether the event lets this person enter and vote, is found out here and nowhere else.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import cast

from sqlalchemy import Table, bindparam, select
from sqlalchemy.orm import Session

from arena.errors import ArenaError, BadSecret, NoEvent, PinNeeded, TicketNeeded, TicketSpare, TicketUnknown, TicketVoid
from arena.store.schema import Event, PinVoter, Ticket
from trainer.verse.identity import is_secret, owner_id
from trainer.verse.ticket import is_ticket

_EVENT, _TICKET, _PIN = (cast(Table, model.__table__) for model in (Event, Ticket, PinVoter))
_WHO = (  # built once at import, because many people vote within seconds
    select(_EVENT.c.admission, *(_TICKET.c[name] for name in ("number", "state", "owner_id", "votes_from")))
    .add_columns(_PIN.c.admitted_at)
    .select_from(_EVENT)
    .outerjoin(_TICKET, _TICKET.c.id == bindparam("ticket"))
    .outerjoin(_PIN, _PIN.c.voter_id == bindparam("voter"))
)


@dataclass(frozen=True)
class Identity:
    """Who is asking."""

    owner_id: str  # of entries: SHA-256("verse-entry-1" | secret), hexadecimal; or that of the card that this replaces
    voter_id: str  # of votes: SHA-256("verse-voter-1" | secret), hexadecimal
    card: int | None = None  # number of the ticket
    votes_from: float | None = None  # the ticket votes only in matches opened later
    admission: str = "open"  # of the event
    refusal: ArenaError | None = None  # why this person may not vote now
    is_replacement: bool = False  # the ticket replaced a lost one, whose owner its secret does not tell

    def require_vote(self) -> None:
        """Check that this person may vote.

        Raises:
            TicketNeeded: The event takes tickets, and this is none.
            TicketUnknown: It has not issued this one.
            TicketVoid: This one is void.
            TicketSpare: This one was not handed out.
            PinNeeded: The event wants the room's PIN.
        """
        if self.refusal is not None:
            raise self.refusal

    def require_entry(self) -> None:
        """Check that this person may enter a verse; raises as `require_vote`, but needs no PIN."""
        if self.admission == "tickets":
            self.require_vote()


def identify(session: Session, secret: str) -> Identity:
    """Identify whoever has this secret, in the caller's transaction.

    Raises:
        BadSecret: It cannot be a secret.
        NoEvent: The database holds no event.
    """
    computed = identity_of(secret)
    row = session.execute(_WHO, {"ticket": ticket_id_of(secret), "voter": computed.voter_id}).first()
    if row is None:
        raise NoEvent
    refusal: ArenaError | None = None
    if row.admission == "tickets":
        match row.state:
            case "valid":
                pass
            case "void":
                refusal = TicketVoid()
            case "spare":
                refusal = TicketSpare(row.number)
            case _:
                refusal = TicketUnknown() if is_ticket(secret) else TicketNeeded()
    elif row.admission == "pin" and row.admitted_at is None:
        refusal = PinNeeded()
    return Identity(
        owner_id=row.owner_id or computed.owner_id,
        voter_id=computed.voter_id,
        card=row.number,
        votes_from=row.votes_from,
        admission=row.admission,
        refusal=refusal,
        is_replacement=row.owner_id not in (None, computed.owner_id),
    )


def identity_of(secret: str) -> Identity:
    """Compute the two ids of a secret.

    Raises:
        BadSecret: It cannot be a secret.
    """
    if not is_secret(secret):
        raise BadSecret
    return Identity(owner_id(secret), _digest(b"verse-voter-1", secret))


def ticket_id_of(secret: str) -> str:
    """Compute the id of a ticket: SHA-256("verse-ticket-1" | secret), hexadecimal."""
    return _digest(b"verse-ticket-1", secret)


def racer_id_of(secret: str) -> str:
    """Compute the id of a training in the race: SHA-256("verse-race-1" | secret), hexadecimal."""
    return _digest(b"verse-race-1", secret)


def _digest(domain: bytes, secret: str) -> str:
    return hashlib.sha256(domain + secret.encode()).hexdigest()
