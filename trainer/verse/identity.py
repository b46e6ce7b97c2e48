"""The secret by which an event knows a participant: 128 random bits, kept by the participant alone."""

from __future__ import annotations

import hashlib
import re
import secrets

SECRET_PATTERN = re.compile(r"[A-Za-z0-9_-]{22,64}")  # 22 URL-safe base64 characters hold 128 bits
SECRET_BYTES = 16


def is_secret(text: object) -> bool:
    """Whether this is a string with the form of a secret.

    >>> is_secret("k3Fz9Qm2Xw7Lr8Tn5Vb1Yc"), is_secret("too short")
    (True, False)
    """
    return isinstance(text, str) and SECRET_PATTERN.fullmatch(text) is not None


def owner_id(secret: str) -> str:
    """Return the id that an event knows as the owner of entries: SHA-256("verse-entry-1" | secret), hexadecimal."""
    return hashlib.sha256(b"verse-entry-1" + secret.encode()).hexdigest()


def new_secret() -> str:
    """Return a secret from the system's random source, 22 URL-safe characters."""
    return secrets.token_urlsafe(SECRET_BYTES)
