"""How long a bracket takes, one match after the other."""

from __future__ import annotations

from dataclasses import dataclass

from arena.rules.bracket import MAX_PLACES, MIN_ENTRIES

PAUSE_SECONDS = 30.0  # between two matches: the result is shown, and somebody says a word
SHORTEST_VOTE = 20.0  # seconds; two verses of eight lines are hardly read in less


@dataclass(frozen=True)
class Timetable:
    """The time of a bracket, without second votes after ties."""

    entries: int
    matches: int  # without byes; the one for the third place included
    seconds: float  # of all of them


def count_matches(entries: int) -> int:
    """Count the matches of a bracket: each but the one for the third place takes one entry out.

    >>> count_matches(2), count_matches(3), count_matches(40)
    (1, 3, 40)
    """
    return max(0, entries - 1) + (entries > 2)


def compute_timetable(entries: int, match_seconds: float, pause_seconds: float = PAUSE_SECONDS) -> Timetable:
    """Compute how long a bracket takes.

    Args:
        entries: that take part.
        match_seconds: of a vote.
        pause_seconds: between two votes, the time of reading included.

    >>> compute_timetable(40, 60).seconds / 60
    60.0
    """
    matches = count_matches(entries)
    return Timetable(entries, matches, matches * (match_seconds + pause_seconds))


def fitting_entries(seconds: float, match_seconds: float, pause_seconds: float = PAUSE_SECONDS) -> int:
    """Return the most entries whose bracket fits into a time; 0 if not even two do.

    Args:
        seconds: the time.
        match_seconds: of a vote.
        pause_seconds: between two votes, the time of reading included.

    >>> fitting_entries(3600, 60), fitting_entries(90, 60), fitting_entries(60, 60)
    (40, 2, 0)
    """
    counts = range(MIN_ENTRIES, MAX_PLACES + 1)
    return max((n for n in counts if compute_timetable(n, match_seconds, pause_seconds).seconds <= seconds), default=0)


def fitting_match_seconds(entries: int, seconds: float, pause_seconds: float = PAUSE_SECONDS) -> float | None:
    """Return the length of a vote with which a bracket fits into a time; None if it is too short to read two verses.

    Args:
        entries: that take part, at least two.
        seconds: the time.
        pause_seconds: between two votes, the time of reading included.

    >>> fitting_match_seconds(40, 3000), fitting_match_seconds(40, 1000)
    (45.0, None)
    """
    vote = seconds / count_matches(entries) - pause_seconds
    return vote if vote >= SHORTEST_VOTE else None
