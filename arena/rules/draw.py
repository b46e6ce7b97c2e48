"""Draws that anybody can check: orders by SHA-256 of a word that was fixed before, and an id."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Literal


def draw_key(word: str, ident: str) -> str:
    """Compute the sort key of a draw: SHA-256("verse-draw-1" | word | ident) in hexadecimal, all in UTF-8.

    >>> draw_key("thimble", "a")[:16]
    '280a77b6a76203c2'
    """
    return hashlib.sha256(b"verse-draw-1" + word.encode() + ident.encode()).hexdigest()


def draw_seeds(word: str, entries: Iterable[str]) -> list[str]:
    """Order entry ids by their keys: the first is seed 1."""
    return sorted(entries, key=lambda entry: draw_key(word, entry))


def draw_tie(word: str, match: str, upper: str, lower: str) -> str:
    """Draw the winner of a match that stayed a tie: the entry whose key of "match/entry" comes first.

    The match is part of the key; otherwise the same entry would win every tie of the event.

    Args:
        word: the event's draw word.
        match: id of the match.
        upper: entry id of the upper side.
        lower: entry id of the lower side.
    """
    return min((upper, lower), key=lambda entry: draw_key(word, f"{match}/{entry}"))


def left_side(voter: str, match: str) -> Literal["upper", "lower"]:
    """Choose the side of a match that a voter sees on the left: the first bit of SHA-256(voter id | match id)."""
    first = hashlib.sha256(voter.encode() + match.encode()).digest()[0]
    return "upper" if first < 128 else "lower"
