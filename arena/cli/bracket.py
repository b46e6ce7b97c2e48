"""`arena bracket`: draw the bracket and show it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from arena.cli.options import confirm, with_event, yes_option
from arena.cli.text import bracket_lines, echo_lines, state_lines

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
@click.option("--word", help="A word from the room, given after submissions have closed.")
@click.option("--without-missing", is_flag=True, help="Leave out entries that have no verdict yet.")
@click.option(
    "--seeding",
    metavar="lot|heats|FILE",
    default="lot",
    show_default=True,
    help="How seeds are found; a FILE has a line for each entry, seed 1 first, that begins with its id.",
)
@click.option("--places", type=click.IntRange(2, 1_024), help="How many of the heats go on.  [default: all]")
@with_event
def draw(ctx: EventContext, word: str | None, without_missing: bool, seeding: str, places: int | None) -> None:
    """Draw the bracket from all verified entries.

    Three things decide the order: a salt that the log holds the digest of since submissions opened, the word, and the
    ids of the entries. Nobody knows all three before the draw, so nobody can choose a place. With --seeding heats, the
    order is that of the heats, and the lot decides between equal verses.

    \b
    Examples:
      arena bracket draw --word nightingale
      arena bracket draw --word nightingale --seeding heats --places 8
      arena bracket draw --word nightingale --seeding seeds.txt
    """
    from arena.services import drawing, queries

    chosen: drawing.Seeding
    if seeding == "lot":
        chosen = "lot"
    elif seeding == "heats":
        chosen = "heats"
    else:
        chosen = queries.read_seeds(ctx.db, Path(seeding).read_text("utf-8", "replace"))
    drawing.draw_bracket(
        ctx.db, word=word, without_missing=without_missing, seeding=chosen, places=places, now=ctx.clock()
    )
    echo_lines(bracket_lines(queries.console_view(ctx.db, now=ctx.clock())))


@bracket.command()
@yes_option
@with_event
def undo(ctx: EventContext, yes: bool) -> None:
    """Take the draw back, before the first vote. The word stays until submissions open again.

    \b
    Example:
      arena bracket undo
    """
    from arena.services import drawing, queries

    seen = queries.latest_record(ctx.db)
    confirm("Take the draw back?", yes=yes)
    echo_lines(state_lines(drawing.undo_draw(ctx.db, seen=seen, now=ctx.clock())))


@bracket.command()
@with_event
def show(ctx: EventContext) -> None:
    """Show every match: its name, its verses and its result.

    \b
    Example:
      arena bracket show
    """
    from arena.services import queries

    echo_lines(bracket_lines(queries.console_view(ctx.db, now=ctx.clock())))
