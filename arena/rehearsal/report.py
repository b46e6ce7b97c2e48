"""The report of a rehearsal, for an organizer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from arena.rehearsal.measurements import Kind, Measurements, percentile
from arena.rehearsal.promises import Comparison
from trainer.verse.text import pluralize

NAMED = {  # kinds of requests, in the order of the report
    "polls": "polls",
    "pages": "pages",
    "files": "styles and scripts",
    "votes": "votes",
    "forms": "forms",
    "claims": "entries begun",
    "pieces": "pieces of bundles",
}
MAX_TROUBLES = 8  # lines of what went wrong
MAX_BROKEN = 20  # lines of broken promises
MB = 1e6


@dataclass(frozen=True)
class Memory:
    """Resident memory of one process of the server, in bytes."""

    name: str
    first: int
    most: int
    last: int


@dataclass(frozen=True)
class Report:
    """What a rehearsal has shown."""

    phones: int
    matches: int  # votes that were held
    seconds: float  # from the first request to the last
    measurements: Measurements
    comparison: Comparison
    memory: list[Memory]

    @property
    def broken(self) -> list[str]:
        """The promises that were broken; none should be."""
        return [*self.comparison.broken, *self.measurements.broken]

    def lines(self) -> Iterator[str]:
        """The report, line by line."""
        found, kinds = self.comparison, self.measurements.kinds
        yield ""
        yield f"{pluralize(self.phones, 'phone')}, {pluralize(self.matches, 'vote')}, {self.seconds:,.0f} seconds"
        yield ""
        yield f"{'':20}{'answers':>10}{'a second':>10}{'half within':>13}{'99 % within':>13}{'slowest':>10}"
        for name, title in NAMED.items():
            if kinds[name].count:
                yield f"{title:20}{_row(kinds[name], self.seconds)}"
        lag = percentile(self.measurements.lag, 99)
        yield f"This program itself was up to {1000 * lag:,.0f} ms late (99 %), which is part of these times."
        yield ""
        yield f"votes     {found.votes:,} confirmed, {found.counted:,} of them counted as confirmed"
        if found.unsure:
            yield f"          {found.unsure:,} more counted, whose confirmation the phone did not receive"
        yield f"entries   {found.entries:,} confirmed"
        yield f"log       {found.records:,} records, whole" if not _log_broken(found) else "log       broken"
        for one in self.memory:
            yield (
                f"memory    {one.name}: {one.first / MB:,.0f} MB at the start, at most {one.most / MB:,.0f} MB, "
                f"{one.last / MB:,.0f} MB at the end"
            )
        yield ""
        yield from self._troubles()
        if self.broken:
            yield f"BROKEN: {pluralize(len(self.broken), 'promise')}"
            yield from (f"  {line}" for line in self.broken[:MAX_BROKEN])
        else:
            yield "Every promise was kept: each confirmed vote and entry is in the database."

    def _troubles(self) -> Iterator[str]:
        troubles = self.measurements.troubles()
        if not troubles:
            yield "Nothing was slow, refused or lost."
            return
        yield "What was slow, refused or lost, by its first time:"
        for trouble in troubles[:MAX_TROUBLES]:
            yield f"  {int(trouble.at // 60)}:{trouble.at % 60:04.1f}  {trouble.what}"
        if len(troubles) > MAX_TROUBLES:
            yield f"  and {len(troubles) - MAX_TROUBLES} more kinds"


def _row(kind: Kind, seconds: float) -> str:
    half, most, worst = (1000 * kind.percentile(percent) for percent in (50, 99, 100))
    return f"{kind.count:>10,}{kind.count / seconds:>10,.0f}{half:>10,.0f} ms{most:>10,.0f} ms{worst:>7,.0f} ms"


def _log_broken(found: Comparison) -> bool:
    return any(line.startswith("the log") for line in found.broken)
