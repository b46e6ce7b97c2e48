"""`arena entry`: the organizer's commands for entries."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from arena.cli.options import confirm, with_event, yes_option
from arena.cli.text import echo_lines, entry_lines, short_id
from trainer.verse.text import pluralize

if TYPE_CHECKING:
    from arena.bootstrap import EventContext
    from arena.services.schemas import ConsoleEntry

FILTERS = (
    click.option("--owner", metavar="ID", help="Entries of this owner. ID is the beginning of the owner's id."),
    click.option("--since", metavar="TIME", help="Entries claimed at this time or later, e.g. 21:05."),
    click.option("--until", metavar="TIME", help="Entries claimed at this time or before, e.g. 21:05:30."),
    click.option("--name", metavar="PATTERN", help='Entries whose author has such a name, e.g. "bot*".'),
)


@click.group()
def entry() -> None:
    """List, disqualify and reinstate entries.

    \b
    Example:
      arena entry list
    """


def _filter_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(FILTERS):
        command = option(command)
    return command


@entry.command("list")
@with_event
def list_entries(ctx: EventContext) -> None:
    """List the entries with their owners, states and reasons. The list shows authors: keep it off the projector.

    \b
    Example:
      arena entry list
    """
    from arena.services import queries

    echo_lines(entry_lines(queries.list_entries(ctx.db)))


@entry.command()
@click.argument("prefixes", metavar="[ENTRY]...", nargs=-1)
@_filter_options
@click.option("--reason", required=True, help="One sentence, shown to the owners of the entries.")
@yes_option
@with_event
def disqualify(ctx: EventContext, /, prefixes: tuple[str, ...], reason: str, yes: bool, **filters: str | None) -> None:
    """Disqualify entries. The other side wins their matches.

    ENTRY is the beginning of an entry's id. Or choose the entries by owner, time and name: those that fit all options
    are shown before anything changes.

    \b
    Examples:
      arena entry disqualify 3f9a01c2 --reason "It is a known poem."
      arena entry disqualify --since 21:05 --name "bot*" --reason "These came from a program."
    """
    from arena.services import disqualification, queries

    seen = queries.latest_record(ctx.db)
    chosen = _choose(ctx, prefixes, filters, disqualification.DISQUALIFIABLE)
    _show(chosen)
    confirm(f"Disqualify {pluralize(len(chosen), 'entry', 'entries')}?", yes=yes)
    if len(prefixes) == 1:
        disqualification.disqualify(ctx.db, chosen[0].entry, reason, seen=seen, now=ctx.clock())
        done = 1
    else:
        ids = [entry.entry for entry in chosen]
        done = len(disqualification.disqualify_all(ctx.db, ids, reason, now=ctx.clock()))
    click.echo(f"{pluralize(done, 'entry is', 'entries are')} disqualified; `arena entry reinstate` reverses this")


@entry.command()
@click.argument("prefixes", metavar="[ENTRY]...", nargs=-1)
@_filter_options
@yes_option
@with_event
def reinstate(ctx: EventContext, /, prefixes: tuple[str, ...], yes: bool, **filters: str | None) -> None:
    """Reverse disqualifications. ENTRY is the beginning of an entry's id; or choose by owner, time and name.

    \b
    Examples:
      arena entry reinstate 3f9a01c2
      arena entry reinstate --since 21:05 --until 21:20
    """
    from arena.services import disqualification, queries

    seen = queries.latest_record(ctx.db)
    chosen = _choose(ctx, prefixes, filters, disqualification.REINSTATABLE)
    if len(prefixes) == 1:
        state = disqualification.reinstate(ctx.db, chosen[0].entry, seen=seen, now=ctx.clock())
        click.echo(f"entry {short_id(chosen[0].entry)} is in the event again: {state}")
        return
    _show(chosen)
    confirm(f"Reinstate {pluralize(len(chosen), 'entry', 'entries')}?", yes=yes)
    done = disqualification.reinstate_all(ctx.db, [entry.entry for entry in chosen], now=ctx.clock())
    click.echo(f"{pluralize(len(done), 'entry is', 'entries are')} in the event again")
    if len(done) < len(chosen):
        others = pluralize(len(chosen) - len(done), "other is", "others are")
        click.echo(f"{others} not: the bracket was drawn without them, or no place is free")


def _choose(
    ctx: EventContext, prefixes: Sequence[str], filters: dict[str, str | None], states: Sequence[str]
) -> list[ConsoleEntry]:
    """Return the entries that the command's arguments mean.

    Args:
        ctx: the event.
        prefixes: beginnings of ids, each of one entry.
        filters: the values of `FILTERS` by name.
        states: of the entries that filters may choose.

    Returns:
        At least one entry.
    """
    from arena.services import queries
    from arena.services.entry_filter import EntryFilter, parse_moment

    now = ctx.clock()
    wanted = EntryFilter(
        owner=filters["owner"],
        since=parse_moment(filters["since"], now) if filters["since"] else None,
        until=parse_moment(filters["until"], now) if filters["until"] else None,
        name=filters["name"],
    )
    if bool(prefixes) != wanted.is_empty:
        raise click.UsageError("name entries, or choose them with --owner, --since, --until and --name")
    everything = queries.list_entries(ctx.db)
    if prefixes:
        ids = [queries.find_entry(ctx.db, prefix) for prefix in prefixes]
        return [entry for entry in everything if entry.entry in ids]
    chosen = wanted.choose(entry for entry in everything if entry.state in states)
    if not chosen:
        raise click.ClickException("no entry fits: `arena entry list` shows owners, names and states")
    return chosen


def _show(entries: Sequence[ConsoleEntry]) -> None:
    """Print the entries that are about to change."""
    echo_lines(entry_lines(entries))
    owners = len({entry.owner for entry in entries})
    click.echo(f"{pluralize(len(entries), 'entry', 'entries')} of {pluralize(owners, 'owner')}")
