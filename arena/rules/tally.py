"""The outcome of one round of a poll."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

POLL_ROUNDS = 2  # a first vote, and one more after a tie


@dataclass(frozen=True)
class Tally:
    """Votes of one round of a poll."""

    upper: int
    lower: int


def outcome(tally: Tally, poll_round: int) -> Literal["upper", "lower", "revote", "draw"]:
    """Determine the side with more votes; a tie leads to another vote, and a second tie to the draw.

    A round without votes is a tie.

    Args:
        tally: the votes of this round.
        poll_round: 0 for the first vote, 1 for the re-vote.

    >>> outcome(Tally(2, 2), 0)
    'revote'
    """
    if tally.upper != tally.lower:
        return "upper" if tally.upper > tally.lower else "lower"
    return "revote" if poll_round + 1 < POLL_ROUNDS else "draw"
