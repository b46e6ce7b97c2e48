"""The thresholds of the checks, and how often honest runs crossed them.

`tests/support/honest_and_planted.py` trains the runs, and NOTES.md has their table. A threshold lies beyond the honest
runs, well before the planted cheats.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Verdict = Literal["passes", "look at it", "not checkable"]


@dataclass(frozen=True)
class Limit:
    """What one check compares its number with."""

    question: str  # what it asks, as people read it
    threshold: float
    is_most: bool  # the number may be this at most; else at least
    unit: str  # of the number
    alarms: int  # honest runs of the campaign that crossed it
    runs: int  # honest runs that it could be measured on

    @property
    def bound(self) -> str:
        """What a number may be."""
        return f"at {'most' if self.is_most else 'least'} {self.threshold:g} {self.unit}"

    @property
    def rate(self) -> str:
        """How often honest runs were beyond the threshold."""
        return f"{self.alarms} of {self.runs} honest runs"


LIMITS: dict[str, Limit] = {
    "start": Limit("starts from the weights of this event", 0.05, False, "cosine", 0, 74),
    "origin": Limit("does not start from another author's weights", 0.1, True, "cosine", 0, 74),
    "copy": Limit("is not another author's model", 0.5, True, "cosine", 0, 74),
    "verse": Limit("is not another author's verse", 40, True, "characters", 2, 74),
    "corpus": Limit("is a model of the corpus", 1.3, True, "of the bits of letter frequencies", 0, 74),
    "surprise": Limit("did not learn this verse by heart: surprisal", 0.15, False, "of other seeds' bits", 0, 74),
    "recitation": Limit("did not learn this verse by heart: recitation", 0.5, True, "of the verse", 0, 67),
    "reference": Limit("did not learn this verse by heart: reference", 0.1, False, "of another model's bits", 0, 70),
    "quotation": Limit("does not quote", 50, True, "characters", 0, 74),
    "prompt": Limit("the prompt is not the poem", 0.5, True, "of the poem", 0, 74),
    "tokenizer": Limit("the tokenizer is made from the corpus", 0, True, "foreign tokens", 0, 74),
}


@dataclass(frozen=True)
class Finding:
    """The result of one check. It is advice: no verdict follows from it."""

    check: str  # a key of `LIMITS`
    verdict: Verdict
    number: float | None  # in the limit's unit; None: not checkable
    detail: str  # a sentence or a passage; may hold untrusted text

    @property
    def limit(self) -> Limit:
        """What the number was compared with."""
        return LIMITS[self.check]


def judge(check: str, number: float, detail: str) -> Finding:
    """Compare a number with the check's threshold.

    Args:
        check: A key of `LIMITS`.
        number: What was measured.
        detail: What it was measured on.
    """
    limit = LIMITS[check]
    good = number <= limit.threshold if limit.is_most else number >= limit.threshold
    return Finding(check, "passes" if good else "look at it", number, detail)


def not_checkable(check: str, why: str) -> Finding:
    """Return that a check cannot be made, and why."""
    return Finding(check, "not checkable", None, why)
