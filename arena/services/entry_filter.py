"""Chooses entries by owner, by the time of the claim and by the author's name, for what is done to many at once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from fnmatch import fnmatchcase

from arena.errors import BadSetting
from arena.services.schemas import ConsoleEntry

CLOCK_FORMATS = ("%H:%M", "%H:%M:%S")


@dataclass(frozen=True)
class EntryFilter:
    """What the entries meant have in common; None: anything."""

    owner: str | None = None  # the beginning of the owner's id
    since: float | None = None  # of the claim, seconds since the epoch
    until: float | None = None
    name: str | None = None  # pattern with * and ?, in any case

    @property
    def is_empty(self) -> bool:
        """Whether every entry is meant."""
        return self == EntryFilter()

    def choose(self, entries: Iterable[ConsoleEntry]) -> list[ConsoleEntry]:
        """Return the entries that are meant."""
        return [
            entry
            for entry in entries
            if entry.owner.startswith((self.owner or "").lower())
            and (self.since is None or entry.claimed_at >= self.since)
            and (self.until is None or entry.claimed_at <= self.until)
            and (self.name is None or fnmatchcase(entry.name.casefold(), self.name.casefold()))
        ]


def parse_moment(text: str, now: float) -> float:
    """Read a time of this machine's clock: "21:05", "21:05:30" or "2026-11-28T21:05".

    Args:
        text: untrusted.
        now: seconds since the epoch; a time without a date is the latest one before it.

    Returns:
        Seconds since the epoch.

    Raises:
        BadSetting: It is no such time.
    """
    for form in CLOCK_FORMATS:
        try:
            clock = datetime.strptime(text.strip(), form)
        except ValueError:
            continue
        moment = datetime.combine(datetime.fromtimestamp(now), clock.time())
        return (moment if moment.timestamp() <= now else moment - timedelta(days=1)).timestamp()
    try:
        return datetime.fromisoformat(text.strip()).timestamp()
    except (ValueError, OverflowError):
        raise BadSetting(f"{text[:40]!r} is no time: write 21:05 or 2026-11-28T21:05", setting="time") from None
