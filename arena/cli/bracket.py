"""`arena bracket`: draw the bracket and show it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from arena.cli.options import with_event
from arena.cli.text import bracket_lines, echo_lines

if TYPE_CHECKING:
    from arena.bootstrap import EventContext


@click.group()
def bracket() -> None:
    """Draw the bracket, and show it.

    \b
    Example:
      arena bracket show
    """


@bracket.command()
@click.option("--without-missing", is_flag=True, help="Leave out entries that have no verdict yet.")
@with_event
def draw(ctx: EventContext, without_missing: bool) -> None:
    """Draw the bracket from all verified entries.

    \b
    Example:
      arena bracket draw
    """
    from arena.services import bracket as service
    from arena.services import queries

    service.draw_bracket(ctx.db, without_missing=without_missing, now=time.time())
    echo_lines(bracket_lines(queries.console_view(ctx.db, now=time.time())))


@bracket.command()
@with_event
def show(ctx: EventContext) -> None:
    """Show every match: its name, its verses and its result.

    \b
    Example:
      arena bracket show
    """
    from arena.services import queries

    echo_lines(bracket_lines(queries.console_view(ctx.db, now=time.time())))
