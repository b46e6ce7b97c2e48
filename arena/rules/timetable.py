"""How long the voting takes: heats, matches one after another or a round at a time, with a word between."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from arena.rules.bracket import MIN_ENTRIES, build_bracket, round_title
from arena.rules.heats import JUDGEMENT_SECONDS, JUDGEMENTS_PER_VERSE, MAX_JUDGEMENTS, PLACES

PAUSE_SECONDS = 30.0  # between two matches: the result is shown, and somebody says a word
REVEAL_SECONDS = 12.0  # between two counts of matches that were opened together: the room sees each result


@dataclass(frozen=True)
class Pace:
    """The times that an event's rules give, in seconds."""

    match: float  # of a vote
    reading: float  # before each vote
    pause: float = PAUSE_SECONDS  # between two matches


@dataclass(frozen=True)
class Part:
    """One part of the voting."""

    title: str
    matches: int
    seconds: float


@dataclass(frozen=True)
class Timetable:
    """The time of the voting, without second votes after ties."""

    places: int  # entries in the bracket
    heats: bool  # which entries those are is found in heats
    at_once: bool  # all matches of a round are open at the same time
    parts: Sequence[Part]

    @property
    def matches(self) -> int:
        """The number of matches, without byes."""
        return sum(part.matches for part in self.parts)

    @property
    def seconds(self) -> float:
        """The time of all parts."""
        return sum(part.seconds for part in self.parts)


def judgements_each(entries: int, voters: int) -> int:
    """Return how many pairs each voter judges in the heats of a plan.

    >>> judgements_each(40, 60)
    10
    """
    pairs = entries * (entries - 1) // 2
    return min(math.ceil(JUDGEMENTS_PER_VERSE * entries / 2 / max(1, voters)), pairs, MAX_JUDGEMENTS)


def round_vote_seconds(matches: int, match_seconds: float) -> float:
    """Return the length of a vote on several matches at once: each phone shows one after another.

    Args:
        matches: that are open.
        match_seconds: of a vote on one match; 0: closed by hand.

    >>> round_vote_seconds(8, 60), round_vote_seconds(2, 60)
    (160.0, 60)
    """
    return max(match_seconds, matches * JUDGEMENT_SECONDS) if match_seconds else 0.0


def compute_timetable(
    entries: int, pace: Pace, *, voters: int, places: int | None = None, at_once: bool = False
) -> Timetable:
    """Compute the time of the voting.

    Args:
        entries: that take part.
        pace: the times of the rules.
        voters: who judge in the heats.
        places: in the bracket, where heats decide who goes on; None: all play, without heats.
        at_once: whether all matches of a round are open at the same time.

    >>> compute_timetable(40, Pace(60, 15), voters=60).seconds / 60
    70.0
    """
    playing = entries if places is None else min(places, entries)
    parts: list[Part] = []
    if places is not None:
        each = judgements_each(entries, voters)
        parts.append(Part(f"Heats, {each} pairs a voter", 0, each * JUDGEMENT_SECONDS + pace.pause))
    planned = build_bracket(playing)
    rounds = max((match.round for match in planned), default=0)
    single = pace.reading + pace.match + pace.pause
    for number in range(1, rounds + 1):
        count = sum(match.number > 0 for match in planned if match.round == number and match.kind != "third")
        if at_once and count > 1:
            voting = pace.reading + round_vote_seconds(count, pace.match)
            seconds = voting + count * REVEAL_SECONDS + pace.pause
        else:
            seconds = count * single
        if number == rounds and any(match.kind == "third" for match in planned):
            parts.append(Part("Third place", 1, single))
        parts.append(Part(round_title(number, rounds), count, seconds))
    return Timetable(playing, places is not None, at_once, tuple(parts))


def list_timetables(entries: int, pace: Pace, voters: int) -> list[Timetable]:
    """List the ways to hold the voting: all verses or the best of the heats, one match at a time or a round at a time.

    Args:
        entries: that take part.
        pace: the times of the rules.
        voters: who judge in the heats.
    """
    if entries < MIN_ENTRIES:
        return []
    choices: list[int | None] = [None, *(places for places in sorted(PLACES, reverse=True) if places < entries)]
    tables = [
        compute_timetable(entries, pace, voters=voters, places=places, at_once=at_once)
        for places in choices
        for at_once in (False, True)
    ]
    return [table for table in tables if not table.at_once or any(part.matches > 1 for part in table.parts)]


def propose(tables: Sequence[Timetable], seconds: float) -> Timetable | None:
    """Choose the way with the most places that fits into a time; one match at a time before a round at a time.

    Args:
        tables: of `list_timetables`.
        seconds: the time there is.

    Returns:
        The timetable; None if nothing fits.
    """
    fitting = [table for table in tables if table.seconds <= seconds]
    return max(fitting, key=lambda table: (not table.at_once, table.places), default=None)
