"""The room's PIN: six digits that change every minute, computed from a key and the time."""

from __future__ import annotations

import hashlib
import hmac
import re

MINUTE = 60.0  # seconds for which a PIN is shown; it is accepted for as long again
DIGITS = 6


def pin_at(key: str, now: float) -> str:
    """Compute the PIN that is shown at a time: six digits of HMAC-SHA-256(key, "verse-pin-1" and the minute)."""
    return _pin(key, int(now // MINUTE))


def is_pin(key: str, text: str, now: float) -> bool:
    """Whether a text is the PIN that is shown, or the one before it.

    Args:
        key: the event's.
        text: as somebody typed it; spaces do not count.
        now: seconds since the epoch.
    """
    typed = re.sub(r"\s", "", text[:40])
    minute = int(now // MINUTE)
    right = [hmac.compare_digest(typed.encode(), _pin(key, number).encode()) for number in (minute, minute - 1)]
    return any(right)


def _pin(key: str, minute: int) -> str:
    digest = hmac.new(key.encode(), f"verse-pin-1|{minute}".encode(), hashlib.sha256).digest()
    return f"{int.from_bytes(digest[:8], 'big') % 10**DIGITS:0{DIGITS}d}"
