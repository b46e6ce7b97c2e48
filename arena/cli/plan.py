"""`arena plan`: how long the voting takes."""

from __future__ import annotations

import click

from arena.cli.options import handle_errors
from arena.cli.text import echo_lines, plan_lines
from arena.services.schemas import READING_SECONDS, EventRules


@click.command()
@click.option("--entries", type=click.IntRange(2, 1_024), required=True, help="Verses that take part.")
@click.option("--voters", type=click.IntRange(1, 100_000), help="Who judge in heats.  [default: as many as verses]")
@click.option("--minutes", type=click.FloatRange(1, 1_440), help="The time there is for the voting.")
@click.option(
    "--match-seconds",
    type=click.FloatRange(1, 3_600),
    default=EventRules.match_seconds,
    show_default=True,
    help="Seconds that a vote stays open.",
)
@click.option(
    "--reading-seconds",
    type=click.FloatRange(0, 3_600),
    default=READING_SECONDS,
    show_default=True,
    help="Seconds in which two verses are read before their vote begins.",
)
@click.option(
    "--pause",
    type=click.FloatRange(0, 600),
    default=30.0,
    show_default=True,
    help="Seconds between two matches, for the result and a word.",
)
@handle_errors
def plan(
    entries: int,
    voters: int | None,
    minutes: float | None,
    match_seconds: float,
    reading_seconds: float,
    pause: float,
) -> None:
    """Say how long the voting takes, and propose what fits into the time there is.

    All verses play, or the best of the heats; one match at a time, or all matches of a round at once.

    \b
    Example:
      arena plan --entries 40 --voters 60 --minutes 30
    """
    from arena.services.planning import plan_voting

    voting = plan_voting(
        entries,
        voters=voters,
        match_seconds=match_seconds,
        reading_seconds=reading_seconds,
        pause_seconds=pause,
        minutes=minutes,
    )
    echo_lines(plan_lines(voting, minutes))
