"""`arena plan`: how long the voting takes."""

from __future__ import annotations

import click

from arena.cli.options import handle_errors
from arena.cli.text import echo_lines, plan_lines
from arena.services.schemas import READING_SECONDS, EventRules


@click.command()
@click.option("--entries", type=click.IntRange(2, 1_024), required=True, help="Verses that take part.")
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
    help="Seconds between two matches, for the result and a word.  [default: 30]",
)
@handle_errors
def plan(
    entries: int, minutes: float | None, match_seconds: float, reading_seconds: float, pause: float | None
) -> None:
    """Say how long the voting takes, and what fits into the time there is.

    \b
    Example:
      arena plan --entries 40 --minutes 45
    """
    from arena.services.queries import plan_voting

    voting = plan_voting(entries, match_seconds, reading_seconds=reading_seconds, pause_seconds=pause, minutes=minutes)
    echo_lines(plan_lines(voting, match_seconds))
