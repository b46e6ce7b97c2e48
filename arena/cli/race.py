"""`arena race`: the curves of the trainings, shown while submissions are open."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from arena.cli.options import with_event
from arena.cli.text import echo_lines, race_lines

if TYPE_CHECKING:
    from arena.bootstrap import EventContext


@click.group()
def race() -> None:
    """Show the trainings of the room as a race, or hide them.

    While submissions are open, the stage and the page /race draw the loss of every `trainer train --event URL`, each
    under a nickname drawn by chance. With --sample a trainer also sends two lines that its model wrote.

    \b
    Example:
      arena race list
    """


@race.command("list")
@with_event
def list_curves(ctx: EventContext) -> None:
    """List the curves with their nicknames, losses and samples; hidden ones, too.

    \b
    Example:
      arena race list
    """
    from arena.services import race as service

    echo_lines(race_lines(service.list_race(ctx.db)))


@race.command("hide")
@click.argument("nickname")
@with_event
def hide(ctx: EventContext, nickname: str) -> None:
    """Hide a curve and its samples, for example an unpleasant one. Later runs of that participant stay hidden, too.

    \b
    Example:
      arena race hide "Copper Delta"
    """
    _hide(ctx, nickname, hidden=True)


@race.command("show")
@click.argument("nickname")
@with_event
def show(ctx: EventContext, nickname: str) -> None:
    """Show a hidden curve again.

    \b
    Example:
      arena race show "Copper Delta"
    """
    _hide(ctx, nickname, hidden=False)


@race.command("off")
@with_event
def switch_off(ctx: EventContext) -> None:
    """Show no race, and take no more heartbeats. People train on as before.

    \b
    Example:
      arena race off
    """
    _switch(ctx, on=False)


@race.command("on")
@with_event
def switch_on(ctx: EventContext) -> None:
    """Show the race, which is so from the beginning.

    \b
    Example:
      arena race on
    """
    _switch(ctx, on=True)


def _hide(ctx: EventContext, nickname: str, *, hidden: bool) -> None:
    from arena.services import queries
    from arena.services import race as service

    service.hide_curve(ctx.db, nickname, hidden=hidden, seen=queries.latest_record(ctx.db), now=ctx.clock())
    echo_lines(race_lines(service.list_race(ctx.db)))


def _switch(ctx: EventContext, *, on: bool) -> None:
    from arena.services import queries
    from arena.services import race as service

    service.set_race(ctx.db, on, seen=queries.latest_record(ctx.db), now=ctx.clock())
    echo_lines(race_lines(service.list_race(ctx.db)))
