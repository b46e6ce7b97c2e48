"""`arena match`: open, close and undo matches."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from arena.cli.options import confirm, with_event, yes_option
from arena.cli.text import echo_lines, ending, match_line, result_lines
from trainer.verse.text import pluralize

if TYPE_CHECKING:
    from arena.bootstrap import EventContext
    from arena.services.schemas import MatchView


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
@click.option("--round", "whole_round", is_flag=True, help="Open all matches of the next round at once.")
@with_event
def open_match(ctx: EventContext, match_id: str | None, seconds: float | None, whole_round: bool) -> None:
    """Open a match for votes. Without MATCH, open the next one.

    With --round, phones show one open match after another. After their time the votes are counted one match after
    another, so that the stage shows each result.

    \b
    Examples:
      arena match open r1m1 --seconds 90
      arena match open --round --seconds 300
    """
    from arena.services import bracket, queries, rounds

    if whole_round:
        if match_id is not None:
            raise click.UsageError("--round opens all matches that are ready: name none")
        echo_lines(match_line(view) for view in rounds.open_round(ctx.db, seconds=seconds, now=ctx.clock()))
        return

    if match_id is None:
        following = queries.get_next_match(ctx.db, now=ctx.clock())
        if following is None:
            raise click.ClickException(_why_none(ctx))
        match_id = following.id
    click.echo(match_line(bracket.open_match(ctx.db, match_id, seconds=seconds, now=ctx.clock())))


@match.command("close")
@click.argument("match_id", metavar="[MATCH]", required=False)
@click.option("--revote", is_flag=True, help="Close the second vote, which follows a tie.")
@click.option("--by-lot", is_flag=True, help="Let the lot decide, if nobody has voted.")
@click.option("--round", "whole_round", is_flag=True, help="Take no more votes on all open matches.")
@with_event
def close_match(ctx: EventContext, match_id: str | None, revote: bool, by_lot: bool, whole_round: bool) -> None:
    """Close the open match now and count the votes.

    A tie opens a short second vote; after another tie the lot decides, by the word of the draw. Only --revote closes
    the second vote, because the first one may have ended by itself while you typed. A match without votes stays open.
    With --round, the server counts the matches one after another.

    \b
    Examples:
      arena match close
      arena match close --revote
      arena match close --round
    """
    from arena.services import bracket, rounds

    if whole_round:
        if match_id is not None or revote or by_lot:
            raise click.UsageError("--round closes the votes of all open matches: leave the rest out")
        closed = rounds.close_round(ctx.db, now=ctx.clock())
        click.echo(f"no more votes on {pluralize(len(closed), 'match', 'matches')}; they are counted one after another")
        return

    match_id = match_id or _open_match(ctx).id
    result = bracket.close_match(ctx.db, match_id, poll_round=int(revote), by_lot=by_lot, now=ctx.clock())
    echo_lines(result_lines(result))
    if result.state == "open" and revote > result.poll_round:
        raise click.ClickException(f"{match_id} is in its first vote: `arena match close` closes it")


@match.command("time")
@click.option("--seconds", type=click.FloatRange(0, 3_600, min_open=True), help="Close it so many seconds from now.")
@click.option("--more", type=click.FloatRange(0, 3_600, min_open=True), help="Add so many seconds.")
@click.option("--by-hand", is_flag=True, help="Stop the clock: keep it open until `arena match close`.")
@with_event
def set_match_time(ctx: EventContext, seconds: float | None, more: float | None, by_hand: bool) -> None:
    """Give the open match more time, or less.

    \b
    Examples:
      arena match time --more 30
      arena match time --seconds 60
      arena match time --by-hand
    """
    from arena.services import bracket, queries, rounds

    if (seconds is not None) + (more is not None) + by_hand != 1:
        raise click.UsageError("say one of --seconds, --more and --by-hand")
    if more is not None:
        seen = queries.latest_record(ctx.db)
        echo_lines(match_line(view) for view in rounds.extend(ctx.db, more, seen=seen, now=ctx.clock()))
        return
    seen, opened, now = queries.latest_record(ctx.db), _open_match(ctx), ctx.clock()
    closes_at = None if seconds is None else now + seconds
    changed = bracket.set_match_time(
        ctx.db, opened.id, poll_round=opened.poll_round, closes_at=closes_at, seen=seen, now=now
    )
    click.echo(match_line(changed))


@match.command("pause")
@with_event
def pause(ctx: EventContext) -> None:
    """Stop the clock of the open matches. A vote that has begun takes votes all the same.

    \b
    Example:
      arena match pause
    """
    from arena.services import rounds

    echo_lines(match_line(view) for view in rounds.pause(ctx.db, now=ctx.clock()))


@match.command("resume")
@with_event
def resume(ctx: EventContext) -> None:
    """Let the clock go on. Each match has the time that it had left.

    \b
    Example:
      arena match resume
    """
    from arena.services import rounds

    echo_lines(match_line(view) for view in rounds.resume(ctx.db, now=ctx.clock()))


@match.command("warm-up")
@click.option("--seconds", type=click.FloatRange(0, 3_600), help="Its length; 0: until --end.  [default: 30]")
@click.option("--end", is_flag=True, help="End it now.")
@with_event
def warm_up(ctx: EventContext, seconds: float | None, end: bool) -> None:
    """Let the room practise on two sample verses. The vote counts for nothing, and no vote is kept.

    \b
    Examples:
      arena match warm-up
      arena match warm-up --end
    """
    from arena.services import practice

    if end:
        votes = practice.close_practice(ctx.db, now=ctx.clock())
        click.echo(f"the practice vote is over; {pluralize(votes, 'person', 'people')} voted")
        return
    practice.open_practice(ctx.db, seconds=seconds, now=ctx.clock())
    click.echo("a practice vote is open on the stage and the phones")


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
    click.echo(match_line(bracket.undo_match(ctx.db, match_id, seen=seen, now=ctx.clock())))


def _why_none(ctx: EventContext) -> str:
    """Say why no match can be opened, or that one can, and what to do."""
    from arena.services import queries

    view = queries.console_view(ctx.db, now=ctx.clock())
    if sentence := ending(view):
        return sentence
    if view.next is not None:
        return "`arena match open` opens the next one"
    if view.open is not None:
        return f"{view.open.id} is open: `arena match close` closes it first"
    if not view.matches:
        return "the bracket is not drawn yet: `arena event show` says what comes next"
    over = "it is published" if view.phase == "published" else "end the event with `arena event publish`"
    return f"every match is decided: {over}"


def _open_match(ctx: EventContext) -> MatchView:
    """Return the match that is open for votes.

    Raises:
        click.ClickException: None is.
    """
    from arena.services import queries

    opened = queries.get_open_match(ctx.db, now=ctx.clock())
    if opened is None:
        raise click.ClickException(f"no match is open: {_why_none(ctx)}")
    return opened
