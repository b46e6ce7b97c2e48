"""`arena heats`: before the draw, everybody judges pairs of verses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from arena.cli.options import with_event
from arena.cli.text import echo_lines, heats_lines, ranking_lines

if TYPE_CHECKING:
    from arena.bootstrap import EventContext


@click.group()
def heats() -> None:
    """Let everybody judge pairs of verses before the draw, and rank the verses.

    Voters judge at their own pace, on their phones, also while others still train. `arena bracket draw --seeding heats`
    lets the best go on.

    \b
    Example:
      arena heats open
    """


@heats.command("open")
@with_event
def open_heats(ctx: EventContext) -> None:
    """Open the heats, also again after `arena heats close`.

    \b
    Example:
      arena heats open
    """
    from arena.services import heats as service

    echo_lines(heats_lines(service.open_heats(ctx.db, now=ctx.clock())))


@heats.command("close")
@with_event
def close_heats(ctx: EventContext) -> None:
    """Close the heats and rank all verified verses. `arena heats status --ranking` shows the ranking.

    \b
    Example:
      arena heats close
    """
    from arena.services import heats as service

    echo_lines(heats_lines(service.close_heats(ctx.db, now=ctx.clock())))


@heats.command("status")
@click.option("--ranking", is_flag=True, help="Also show the ranking as it is now: keep it off the projector.")
@with_event
def show_heats(ctx: EventContext, ranking: bool) -> None:
    """Show how many judgements there are, and how many more would make clear who goes on.

    \b
    Example:
      arena heats status --ranking
    """
    from arena.services import heats as service

    view = service.get_heats(ctx.db)
    echo_lines(heats_lines(view))
    if ranking:
        echo_lines(ranking_lines(view))
