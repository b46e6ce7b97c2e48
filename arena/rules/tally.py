"""What the votes of a match come to."""

from __future__ import annotations

from typing import Literal

BALLOTS = 2  # a first vote, and one more after a tie


def outcome(upper: int, lower: int, ballot: int) -> Literal["upper", "lower", "revote", "draw"]:
    """The side with more votes; after a tie another vote, and after another the public draw.

    A match without votes is a tie.

    Args:
        upper: votes for the upper side in this ballot.
        lower: and for the lower.
        ballot: 0 for the first vote, 1 for the re-vote.
    """
    if upper != lower:
        return "upper" if upper > lower else "lower"
    return "revote" if ballot + 1 < BALLOTS else "draw"
