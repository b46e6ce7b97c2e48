"""`arena event`: the organizer's commands for the event and its entries."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from arena.cli.options import confirm, with_event, yes_option
from arena.cli.text import echo_lines, entry_lines, event_lines, short_id, state_lines

if TYPE_CHECKING:
    from arena.bootstrap import EventContext

MAX_MINUTES = 7 * 24 * 60  # until submissions close: a week
minutes_type = click.FloatRange(0, MAX_MINUTES, min_open=True)


@click.group()
def event() -> None:
    """Show, open, close and publish the event.

    \b
    Example:
      arena event show
    """


@event.command()
@with_event
def show(ctx: EventContext) -> None:
    """Show the state of the event.

    \b
    Example:
      arena event show
    """
    from arena.services import queries

    echo_lines(event_lines(queries.console_view(ctx.db, now=time.time())))


@event.command()
@with_event
def entries(ctx: EventContext) -> None:
    """List the entries with their states and reasons. The list shows authors: keep it off the projector.

    \b
    Example:
      arena event entries
    """
    from arena.services import queries

    echo_lines(entry_lines(queries.list_entries(ctx.db)))


@event.command("open")
@click.option("--minutes", type=minutes_type, help="Close automatically after so many minutes.")
@with_event
def open_submissions(ctx: EventContext, minutes: float | None) -> None:
    """Open submissions, also again after `arena event close`.

    \b
    Example:
      arena event open --minutes 45
    """
    from arena.services import events

    now = time.time()
    echo_lines(state_lines(events.open_submissions(ctx.db, closes_at=_closing_time(minutes, now), now=now)))


@event.command("closing")
@click.option("--minutes", type=minutes_type, help="Close automatically so many minutes from now.")
@click.option("--by-hand", is_flag=True, help="Keep submissions open until `arena event close`.")
@with_event
def set_closing_time(ctx: EventContext, minutes: float | None, by_hand: bool) -> None:
    """Set when submissions close automatically.

    \b
    Example:
      arena event closing --minutes 10
    """
    from arena.services import events

    if (minutes is None) != by_hand:
        raise click.UsageError("say either --minutes or --by-hand")
    now = time.time()
    echo_lines(state_lines(events.set_closing_time(ctx.db, _closing_time(minutes, now), now=now)))


@event.command("close")
@with_event
def close_submissions(ctx: EventContext) -> None:
    """Close submissions. Uploads that have begun may end within the grace time.

    \b
    Example:
      arena event close
    """
    from arena.services import events

    echo_lines(state_lines(events.close_submissions(ctx.db, now=time.time())))


@event.command()
@click.argument("prefix", metavar="ENTRY")
@click.option("--reason", required=True, help="One sentence, shown to the owner of the entry.")
@yes_option
@with_event
def disqualify(ctx: EventContext, prefix: str, reason: str, yes: bool) -> None:
    """Disqualify an entry. ENTRY is the beginning of its id. The other side wins its match.

    \b
    Example:
      arena event disqualify 3f9a01c2 --reason "It is a known poem."
    """
    from arena.services import bracket, queries

    seen = queries.latest_record(ctx.db)
    entry = queries.find_entry(ctx.db, prefix)
    confirm(f"Disqualify entry {short_id(entry)}?", yes=yes)
    bracket.disqualify(ctx.db, entry, reason, seen=seen, now=time.time())
    click.echo(f"entry {short_id(entry)} is disqualified; `arena event reinstate {short_id(entry)}` reverses this")


@event.command()
@click.argument("prefix", metavar="ENTRY")
@with_event
def reinstate(ctx: EventContext, prefix: str) -> None:
    """Reverse a disqualification. ENTRY is the beginning of the entry's id.

    \b
    Example:
      arena event reinstate 3f9a01c2
    """
    from arena.services import bracket, queries

    seen = queries.latest_record(ctx.db)
    entry = queries.find_entry(ctx.db, prefix)
    bracket.reinstate(ctx.db, entry, seen=seen, now=time.time())
    click.echo(f"entry {short_id(entry)} is in the event again")


@event.command()
@yes_option
@with_event
def publish(ctx: EventContext, yes: bool) -> None:
    """End the event and make everything about it public. This cannot be undone.

    \b
    Example:
      arena event publish
    """
    from arena.services import events, queries

    seen = queries.latest_record(ctx.db)
    confirm("Publish everything about this event? This cannot be undone.", yes=yes)
    echo_lines(state_lines(events.publish(ctx.db, seen=seen, now=time.time())))


def _closing_time(minutes: float | None, now: float) -> float | None:
    return None if minutes is None else now + 60 * minutes
