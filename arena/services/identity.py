"""Who somebody is: a secret t, kept by its owner, and two numbers made from it that nobody else can join."""

from __future__ import annotations

import hashlib
import re
import secrets

from arena.errors import BadSecret

SECRET = re.compile(r"[A-Za-z0-9_-]{22,64}")  # 22 url-safe characters hold 128 bits
SECRET_BYTES = 16


def new_secret() -> str:
    """A secret of 128 bits from the system, 22 url-safe characters."""
    return secrets.token_urlsafe(SECRET_BYTES)


def check_secret(secret: object) -> str:
    """The secret, if it can be one.

    Raises:
        BadSecret: it cannot.
    """
    if not isinstance(secret, str) or not SECRET.fullmatch(secret):
        raise BadSecret
    return secret


def owner_id_of(secret: str) -> str:
    """By which an entry's owner is known: SHA-256("verse-entry-1" | t) in hexadecimal; raises as `check_secret`."""
    return hashlib.sha256(b"verse-entry-1" + check_secret(secret).encode()).hexdigest()


def voter_id_of(secret: str) -> str:
    """By which a voter is known: SHA-256("verse-voter-1" | t) in hexadecimal; raises as `check_secret`."""
    return hashlib.sha256(b"verse-voter-1" + check_secret(secret).encode()).hexdigest()
