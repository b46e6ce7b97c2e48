"""The digests that the log holds of rows: of what an entry claims, of its author, its reason, its file and reports."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from arena.rules.chain import (
    bundle_digest,
    entry_key,
    log_salt,
    name_digest,
    reason_digest,
    salted,
    ticket_key,
    verse_digest,
)
from arena.store.schema import Entry, Event


def digests_of_claim(entry: Entry, secret: str) -> dict[str, str | None]:
    """Compute the digests of an entry's claim, author and file.

    Args:
        entry: its row.
        secret: the event's.
    """
    salt = log_salt(secret)
    sizes = (entry.size, entry.header_bytes, entry.tensors_sha256)
    return {
        "claim": salted(salt, "claim", entry.id, entry.claim_digest),
        "name": name_digest(entry_key(secret, entry.id), entry.name),
        "verse": verse_digest(salt, entry.id, entry.text, entry.prompt),
        "contents": salted(salt, "contents", entry.id, *sizes, entry.facts),
        "bundle": bundle_digest(salt, entry.id, entry.bundle),
    }


def digest_of_name(session: Session, entry: Entry) -> str:
    """Compute the digest of an entry's author."""
    return name_digest(entry_key(secret_of_event(session), entry.id), entry.name)


def digest_of_reason(session: Session, entry: Entry) -> str | None:
    """Compute the digest of the reason of an entry's state."""
    return reason_digest(entry_key(secret_of_event(session), entry.id), entry.reason)


def digest_of_bundle(session: Session, entry_id: str, bundle: str) -> str | None:
    """Compute the digest of an entry's file.

    Args:
        session: any transaction.
        entry_id: the entry.
        bundle: SHA-256 of the file.
    """
    return bundle_digest(log_salt(secret_of_event(session)), entry_id, bundle)


def digest_of_report(salt: str, entry_id: str, report: dict[str, Any]) -> str:
    """Compute the digest of a report.

    Args:
        salt: of the log.
        entry_id: the entry that it is about.
        report: its fields, which may hold any number and any text.
    """
    return salted(salt, "report", entry_id, json.dumps(report, sort_keys=True))


def digests_of_card(secret: str, number: int, card: str, owner: str) -> tuple[str, str]:
    """Compute the digests of a card's id and of its owner, which nobody can connect with the number.

    Args:
        secret: the event's.
        number: of the card.
        card: its id.
        owner: id of the owner of its entries.
    """
    key = ticket_key(secret, number)
    return salted(key, "card", card), salted(key, "owner", owner)


def secret_of_event(session: Session) -> str:
    """Return the event's secret, from which everything secret in the log follows."""
    return session.scalars(select(Event.salt)).one()
