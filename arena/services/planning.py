"""How long the voting takes, and what fits into the time there is."""

from __future__ import annotations

import math

from arena.rules.timetable import PAUSE_SECONDS, Pace, Timetable, list_timetables, propose
from arena.services.schemas import (
    PlanOption,
    PlanPart,
    VotingPlan,
)


def plan_voting(
    entries: int,
    *,
    voters: int | None = None,
    match_seconds: float,
    reading_seconds: float,
    pause_seconds: float = PAUSE_SECONDS,
    minutes: float | None = None,
) -> VotingPlan:
    """Plan the time of the voting.

    Args:
        entries: that take part.
        voters: who judge in heats; None: as many as entries.
        match_seconds: of a vote.
        reading_seconds: before each vote.
        pause_seconds: between two matches.
        minutes: the time there is; None: unknown.
    """
    voters = voters or max(entries, 1)
    tables = list_timetables(entries, Pace(match_seconds, reading_seconds, pause_seconds), voters)
    proposal = propose(tables, math.inf if minutes is None else 60 * minutes)
    return VotingPlan(
        entries, voters, [_plan_option(table) for table in tables], _plan_option(proposal) if proposal else None
    )


def _plan_option(table: Timetable) -> PlanOption:
    parts = [PlanPart(part.title, part.matches, part.seconds) for part in table.parts]
    return PlanOption(table.places, table.heats, table.at_once, table.matches, table.seconds, parts)
