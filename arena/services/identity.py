"""Identities: from a person's secret come two ids, as owner and as voter, that nobody else can connect."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from sqlalchemy.orm import Session

from arena.errors import BadSecret
from trainer.verse.identity import is_secret


@dataclass(frozen=True)
class Identity:
    """Who is asking."""

    owner_id: str  # of entries: SHA-256("verse-entry-1" | secret), hexadecimal
    voter_id: str  # of votes: SHA-256("verse-voter-1" | secret), hexadecimal


def identify(session: Session, secret: str) -> Identity:
    """Identify whoever has this secret, in the caller's transaction.

    Raises:
        BadSecret: It cannot be a secret.
    """
    return identity_of(secret)


def identity_of(secret: str) -> Identity:
    """Compute the two ids of a secret.

    Raises:
        BadSecret: It cannot be a secret.
    """
    if not is_secret(secret):
        raise BadSecret
    return Identity(_digest(b"verse-entry-1", secret), _digest(b"verse-voter-1", secret))


def _digest(domain: bytes, secret: str) -> str:
    return hashlib.sha256(domain + secret.encode()).hexdigest()
