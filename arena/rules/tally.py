"""What the votes of a match come to."""

from __future__ import annotations

from typing import Literal

POLL_ROUNDS = 2  # a first vote, and one more after a tie


def outcome(upper: int, lower: int, poll_round: int) -> Literal["upper", "lower", "revote", "draw"]:
    """The side with more votes; after a tie another vote, and after another the public draw.

    A match without votes is a tie.

    Args:
        upper: votes for the upper side in this round of the poll.
        lower: and for the lower.
        poll_round: 0 for the first vote, 1 for the re-vote.
    """
    if upper != lower:
        return "upper" if upper > lower else "lower"
    return "revote" if poll_round + 1 < POLL_ROUNDS else "draw"
