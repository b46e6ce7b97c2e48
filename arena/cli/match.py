"""`arena match`: open, close and undo matches."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from arena.cli.options import confirm, with_event, yes_option
from arena.cli.text import echo_lines, match_line, result_lines

if TYPE_CHECKING:
    from arena.bootstrap import EventContext


@click.group()
def match() -> None:
    """Open, close and undo matches. `arena bracket show` lists their names.

    \b
    Example:
      arena match open
    """


@match.command("open")
@click.argument("match_id", metavar="[MATCH]", required=False)
@click.option(
    "--seconds",
    type=click.FloatRange(0, 3_600),
    help="Length of the vote; 0: until `arena match close`.  [default: as set by `arena init`]",
)
@with_event
def open_match(ctx: EventContext, match_id: str | None, seconds: float | None) -> None:
    """Open a match for votes. Without MATCH, open the next one.

    \b
    Example:
      arena match open r1m1 --seconds 90
    """
    from arena.services import bracket, queries

    if match_id is None:
        following = queries.get_next_match(ctx.db)
        if following is None:
            raise click.ClickException("no match is ready: `arena event show` shows the state of the event")
        match_id = following.id
    click.echo(match_line(bracket.open_match(ctx.db, match_id, seconds=seconds, now=time.time())))


@match.command("close")
@click.argument("match_id", metavar="[MATCH]", required=False)
@click.option("--revote", is_flag=True, help="Close the second vote, which follows a tie.")
@with_event
def close_match(ctx: EventContext, match_id: str | None, revote: bool) -> None:
    """Close the open match now and count the votes.

    A tie opens a short second vote; after another tie the draw word decides. Only --revote closes the second vote,
    because the first one may have ended by itself while you typed.

    \b
    Examples:
      arena match close
      arena match close --revote
    """
    from arena.services import bracket, queries

    if match_id is None:
        opened = queries.get_open_match(ctx.db)
        if opened is None:
            raise click.ClickException("no match is open: `arena match open` opens the next one")
        match_id = opened.id
    result = bracket.close_match(ctx.db, match_id, poll_round=int(revote), now=time.time())
    echo_lines(result_lines(result))
    if result.state == "open" and revote > result.poll_round:
        raise click.ClickException(f"{match_id} is in its first vote: `arena match close` closes it")


@match.command("undo")
@click.argument("match_id", metavar="MATCH")
@yes_option
@with_event
def undo_match(ctx: EventContext, match_id: str, yes: bool) -> None:
    """Undo a result and all results that followed from it. The votes no longer count; the match can be opened again.

    \b
    Example:
      arena match undo r1m2
    """
    from arena.services import bracket, queries

    seen = queries.latest_record(ctx.db)
    confirm(f"Undo {match_id}, and all results that followed from it?", yes=yes)
    click.echo(match_line(bracket.undo_match(ctx.db, match_id, seen=seen, now=time.time())))
