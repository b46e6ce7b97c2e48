"""Draws that anybody can check, and nobody can choose: orders by SHA-256 of what was fixed before, and an id.

Three things decide a draw: the organizer's salt, which the log commits to when submissions open; the word that the room
gives after they are closed; and the ids of all verified entries. So authors do not know salt and word when they enter,
and the organizer does not know word and entries when the salt is fixed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Literal


def salt_digest(salt: str) -> str:
    """Compute what the log commits to when submissions open: SHA-256("verse-draw-salt-1" | salt) in hexadecimal."""
    return hashlib.sha256(b"verse-draw-salt-1" + salt.encode()).hexdigest()


def draw_digest(salt: str, word: str, entries: Iterable[str]) -> str:
    """Compute the digest that decides a draw, in hexadecimal.

    It is SHA-256 of "verse-draw-2", the salt, the word and the sorted entry ids, with a line feed after each.

    Args:
        salt: drawn when submissions were opened.
        word: given by the room after they were closed.
        entries: ids of the entries that take part.
    """
    lines = ("verse-draw-2", salt, word, *sorted(entries))
    return hashlib.sha256("".join(f"{line}\n" for line in lines).encode()).hexdigest()


def draw_key(digest: str, ident: str) -> str:
    """Compute the sort key of a draw: SHA-256("verse-draw-1" | digest | ident) in hexadecimal, all in UTF-8.

    >>> draw_key("thimble", "a")[:16]
    '280a77b6a76203c2'
    """
    return hashlib.sha256(b"verse-draw-1" + digest.encode() + ident.encode()).hexdigest()


def draw_seeds(digest: str, entries: Iterable[str]) -> list[str]:
    """Order entry ids by their keys: the first is seed 1."""
    return sorted(entries, key=lambda entry: draw_key(digest, entry))


def draw_tie(digest: str, match: str, upper: str, lower: str) -> str:
    """Draw the winner of a match that stayed a tie: the entry whose key of "match/entry" comes first.

    The match is part of the key; otherwise the same entry would win every tie of the event.

    Args:
        digest: of the draw.
        match: id of the match.
        upper: entry id of the upper side.
        lower: entry id of the lower side.
    """
    return min((upper, lower), key=lambda entry: draw_key(digest, f"{match}/{entry}"))


def left_side(voter: str, match: str) -> Literal["upper", "lower"]:
    """Choose the side of a match that a voter sees on the left: the first bit of SHA-256(voter id | match id)."""
    first = hashlib.sha256(voter.encode() + match.encode()).digest()[0]
    return "upper" if first < 128 else "lower"
