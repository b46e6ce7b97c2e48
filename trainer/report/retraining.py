"""What people and programs read about a model that was trained again."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict

from trainer.checks.comparison import PARTS, Comparison
from trainer.checks.retraining import Estimate
from trainer.text import pluralize

WIDTH = max(map(len, PARTS.values()))


def duration(seconds: float) -> str:
    """Return a time for people.

    >>> duration(40), duration(5000), duration(1e9)
    ('40 seconds', '83 minutes', '277,778 hours')
    """
    if seconds < 120:
        return pluralize(max(1, round(seconds)), "second")
    return pluralize(round(seconds / 60), "minute") if seconds < 3 * 3600 else pluralize(round(seconds / 3600), "hour")


def report_lines(comparisons: Sequence[Comparison]) -> Iterator[str]:
    """Return a line for each part, and one that sums up."""
    for one in comparisons:
        yield f"{PARTS[one.part]:<{WIDTH}}  {one.verdict}: {one.detail}"
    verdicts = [one.verdict for one in comparisons]
    counts = (f"{verdicts.count(verdict)} {verdict}" for verdict in dict.fromkeys(verdicts))
    yield f"Trained again: {', '.join(counts)}. This is what the file tells; ask its author before you judge."


def json_report(estimate: Estimate | None, comparisons: Sequence[Comparison] | None) -> str:
    """Return the result as one JSON object."""
    compared = None if comparisons is None else [asdict(one) for one in comparisons]
    return json.dumps({"estimate": None if estimate is None else asdict(estimate), "comparisons": compared})
