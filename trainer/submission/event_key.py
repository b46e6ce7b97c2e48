"""What a run for an event is keyed by: the event's nonce, and the id of the owner of the entries."""

from __future__ import annotations

import re
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from trainer.errors import OptionError
from trainer.submission.credentials import check_admission, read_secret, secret_for, typed_ticket
from trainer.submission.event import fetch_event
from trainer.submission.heartbeats import Target
from trainer.submission.http_client import Address, EventClient
from trainer.verse.identity import owner_id

NONCE = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True)
class JoinedEvent:
    """An event that a run is trained for."""

    settings: dict[str, str]  # which key the run
    target: Target | None  # where its heartbeats go; None without a network


def join_event(event: str, ticket: str | None, ticket_file: Path | None) -> JoinedEvent:
    """Return what a run needs that is trained for an event.

    Args:
        event: The event's address; or its nonce, for a computer that does not reach it.
        ticket: The code of a card, as somebody typed it; None for none.
        ticket_file: A file that holds the participant's secret, or will; None for the one kept for this address.

    Raises:
        OptionError: The event has not started; or a nonce was given without a card or a file.
        TicketError: That is no secret.
        UploadError: The event cannot be reached.
        OSError: The file cannot be read.
    """
    typed = re.sub(r"\s+", "", event).lower()
    if NONCE.fullmatch(typed):
        if ticket is not None:
            return JoinedEvent({"nonce": typed, "owner": owner_id(typed_ticket(ticket))}, None)
        if ticket_file is not None:
            return JoinedEvent({"nonce": typed, "owner": owner_id(read_secret(ticket_file))}, None)
        raise OptionError("a nonce needs --ticket or --ticket-file, with the secret that you will submit with")
    address = Address.parse(event)
    with closing(EventClient(address)) as client:
        found = fetch_event(client)
    if found.nonce is None:
        raise OptionError("this event has not started: it publishes its nonce when submissions open")
    secret = typed_ticket(ticket) if ticket is not None else secret_for(found.receipt_key, ticket_file)
    check_admission(found.admission, secret)
    settings = {"nonce": found.nonce, "owner": owner_id(secret)}
    return JoinedEvent(settings, Target(found.url, found.receipt_key, secret))
