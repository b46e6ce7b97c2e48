"""`arena event`: the organizer's commands for the event."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from arena.cli.options import confirm, with_event, yes_option
from arena.cli.text import echo_lines, event_lines, limit_lines, state_lines
from trainer.verse.text import pluralize

if TYPE_CHECKING:
    from arena.bootstrap import EventContext

MAX_MINUTES = 7 * 24 * 60  # until submissions close: a week
minutes_type = click.FloatRange(0, MAX_MINUTES, min_open=True)


@click.group()
def event() -> None:
    """Show, open, close, limit, tidy and publish the event.

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


@event.command("limits")
@click.option("--entries", type=click.IntRange(1), help="Owners who may have a verse in the event.")
@click.option("--check-seconds", type=click.FloatRange(1), help="Processor seconds that the check of a verse may take.")
@click.option("--check-mib", type=click.IntRange(1), help="MiB of memory that the check of a verse may take.")
@with_event
def set_limits(ctx: EventContext, entries: int | None, check_seconds: float | None, check_mib: int | None) -> None:
    """Show the limits of entries, and set those that are given. What is in the event already stays in.

    \b
    Example:
      arena event limits --entries 512
    """
    from arena.services import events

    if entries is None and check_seconds is None and check_mib is None:
        view = events.current_event(ctx.db)
    else:
        memory = None if check_mib is None else check_mib * 2**20
        view = events.set_limits(
            ctx.db, max_entries=entries, check_seconds=check_seconds, check_memory=memory, now=time.time()
        )
    echo_lines(limit_lines(view))


@event.command("tidy")
@yes_option
@with_event
def tidy(ctx: EventContext, yes: bool) -> None:
    """Remove the bundles of refused, replaced, withdrawn and expired entries, to free the disk.

    What was in the draw, or may still come in, is kept. Verses, verdicts and digests stay in the database.

    \b
    Example:
      arena event tidy
    """
    from arena.services import tidying

    found = tidying.find_unneeded(ctx.db, ctx.bundles, now=time.time())
    if not found:
        click.echo("every bundle is needed")
        return
    for stored in found:
        click.echo(f"{stored.size:>13,} bytes  {stored.digest[:16]}")
    total = sum(stored.size for stored in found)
    confirm(f"Remove {pluralize(len(found), 'bundle')}, {total:,} bytes?", yes=yes)
    digests = [stored.digest for stored in found]
    removed = tidying.remove_unneeded(ctx.db, ctx.bundles, digests, now=time.time())
    click.echo(f"{pluralize(len(removed), 'bundle')} removed, {sum(stored.size for stored in removed):,} bytes")


@event.command()
@yes_option
@with_event
def publish(ctx: EventContext, yes: bool) -> None:
    """End the event and make everything about it public. This cannot be undone.

    \b
    Example:
      arena event publish
    """
    from arena.services import publishing, queries

    seen = queries.latest_record(ctx.db)
    confirm("Publish everything about this event? This cannot be undone.", yes=yes)
    echo_lines(state_lines(publishing.publish(ctx.db, seen=seen, now=time.time())))


def _closing_time(minutes: float | None, now: float) -> float | None:
    return None if minutes is None else now + 60 * minutes
