"""The page that an audit ends with: what was checked, what agrees, what does not, and what cannot be shown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

MAX_SHOWN = 20  # differences of one check in the text; --json has all


@dataclass(frozen=True)
class Check:
    """One check, with what it found. Text may hold what strangers wrote."""

    title: str  # what was checked
    agrees: str = ""  # what was found if nothing differs, with numbers
    differences: Sequence[str] = ()  # one sentence each


@dataclass
class Page:
    """The result of an audit."""

    title: str
    head: str = ""  # number and hash of the log's latest record
    key: str = ""  # fingerprint of the key that signs receipts
    checks: list[Check] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)  # what cannot be shown, one sentence each

    @property
    def agrees(self) -> bool:
        """Whether nothing differs."""
        return not any(check.differences for check in self.checks)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain data."""
        return {"agrees": self.agrees, **asdict(self)}

    def lines(self) -> Iterator[str]:
        """Write the page as lines of text."""
        yield self.title
        if self.head:
            yield f"log: {self.head}"
        if self.key:
            yield f"key: {self.key}"
        differing = [check for check in self.checks if check.differences]
        agreeing = [check for check in self.checks if not check.differences]
        if agreeing:
            yield ""
            yield "What agrees"
            yield from (f"  {check.title}: {check.agrees}" for check in agreeing)
        if differing:
            yield ""
            yield "What does not agree"
            for check in differing:
                yield f"  {check.title}:"
                yield from (f"    {difference}" for difference in check.differences[:MAX_SHOWN])
                if len(check.differences) > MAX_SHOWN:
                    yield f"    and {len(check.differences) - MAX_SHOWN:,} more: see --json"
        if self.unknown:
            yield ""
            yield "What cannot be shown"
            yield from (f"  {sentence}" for sentence in self.unknown)
        yield ""
        yield "Everything that was checked agrees." if self.agrees else "This does not agree with itself: see above."
