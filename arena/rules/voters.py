"""The voters to whom tickets were issued: a digest commits to all of them before the first match."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable


def voters_digest(voters: Iterable[str]) -> str:
    """Compute the digest of voter ids: SHA-256 of "verse-voters-1" and the sorted ids, with a line feed after each.

    >>> voters_digest(["b", "a"]) == voters_digest(["a", "b"])
    True
    """
    lines = ("verse-voters-1", *sorted(voters))
    return hashlib.sha256("".join(f"{line}\n" for line in lines).encode()).hexdigest()
