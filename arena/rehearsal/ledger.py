"""What the server has acknowledged, as its clients remember it."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple


class Ballot(NamedTuple):
    """One round of a poll."""

    match: str
    poll: int
    poll_round: int

    @classmethod
    def parse(cls, text: str) -> Ballot:
        """Read the name that the page gives it, such as r1m1.0.0."""
        match, poll, poll_round = text.split(".")
        return cls(match, int(poll), int(poll_round))


@dataclass
class Attempt:
    """A vote that was sent."""

    label: str  # A or B
    sent: float  # seconds, by one clock for all attempts
    ended: float = math.inf  # when the answer was here; never: the server may still count it
    acknowledged: bool = False


@dataclass(frozen=True)
class Claimed:
    """An entry that was acknowledged."""

    entry: str  # id
    secret: str
    name: str
    complete: bool  # all its bytes were acknowledged


@dataclass
class Ledger:
    """All that the clients know."""

    votes: defaultdict[tuple[Ballot, str], list[Attempt]] = field(default_factory=lambda: defaultdict(list))
    entries: dict[str, Claimed] = field(default_factory=dict)  # by id

    def attempt(self, ballot: Ballot, voter: str, label: str, now: float) -> Attempt:
        """Note that a vote is sent.

        Args:
            ballot: the round of the poll.
            voter: the voter's id.
            label: A or B.
            now: seconds.
        """
        attempt = Attempt(label, now)
        self.votes[ballot, voter].append(attempt)
        return attempt

    def refused(self, ballot: Ballot, voter: str, attempt: Attempt) -> None:
        """Note that a vote was refused: it does not count."""
        attempts = self.votes[ballot, voter]
        attempts.remove(attempt)
        if not attempts:
            del self.votes[ballot, voter]

    @property
    def acknowledged(self) -> Iterator[tuple[Ballot, str]]:
        """Every vote that was acknowledged at least once."""
        return (key for key, attempts in self.votes.items() if any(one.acknowledged for one in attempts))


def possible_labels(attempts: list[Attempt]) -> set[str | None]:
    """Return what the database may hold after these attempts: a label, or None for no vote.

    Attempts that overlap may be counted in either order. One that had ended before another, acknowledged one was sent
    counts no more.
    """
    confirmed = [one for one in attempts if one.acknowledged]
    labels: set[str | None] = {one.label for one in attempts if not any(one.ended < other.sent for other in confirmed)}
    return labels if confirmed else labels | {None}
