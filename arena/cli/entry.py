"""`arena entry`: the organizer's commands for entries."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from arena.cli.options import confirm, with_event, yes_option
from arena.cli.text import echo_lines, entry_lines, printable, short_id
from trainer.verse.text import pluralize, sanitize

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
    """List, add, name, hold back, disqualify, reinstate and verify entries.

    \b
    Example:
      arena entry list
    """


def _filter_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(FILTERS):
        command = option(command)
    return command


@entry.command("list")
@click.option("--verses", is_flag=True, help="Show each whole verse, not only its first line.")
@with_event
def list_entries(ctx: EventContext, verses: bool) -> None:
    """List the entries with their owners, states and reasons. The list shows authors: keep it off the projector.

    \b
    Examples:
      arena entry list
      arena entry list --verses
    """
    from arena.services import queries

    echo_lines(entry_lines(queries.list_entries(ctx.db), verses=verses))


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


@entry.command()
@click.argument("bundle", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--name", required=True, help="The author's name, as the audience will read it.")
@click.option("--ticket", metavar="CODE", help="The code of the author's card, if the event takes tickets.")
@with_event
def add(ctx: EventContext, bundle: Path, name: str, ticket: str | None) -> None:
    """Enter a bundle for somebody who cannot do it alone. Submissions must be open.

    It prints a link: who opens it on a phone follows the entry, and does not vote on it.

    \b
    Example:
      arena entry add submissions/1f2e3d.verse --name "Ada"
    """
    from arena.services import queries, uploads
    from trainer.verse.identity import new_secret
    from trainer.verse.ticket import TicketFault, read_ticket

    try:
        secret = read_ticket(ticket) if ticket is not None else new_secret()
    except TicketFault as fault:
        raise click.ClickException(str(fault)) from None
    receipt = uploads.take_file(
        ctx.db,
        ctx.bundles,
        ctx.spool,
        bundle,
        secret,
        name,
        by_organizer=ticket is None,
        key=ctx.settings.receipt_key,
        now=ctx.clock(),
    )
    state = queries.snapshot(ctx.db, now=ctx.clock())
    base = state.address or ctx.settings.base_url
    click.echo(f"entry {short_id(receipt.entry)} is {receipt.state}")
    click.echo(f"its author's link, for a phone: {base}/{'join#' if ticket else 'mine/'}{secret}")
    if state.admission == "tickets" and ticket is None:
        click.echo("with --ticket CODE, the author's card would not vote on this verse; without it, it can")


@entry.command("name")
@click.argument("prefix", metavar="ENTRY")
@click.argument("name")
@with_event
def set_name(ctx: EventContext, prefix: str, name: str) -> None:
    """Give an entry another name, on every page from now on. ENTRY is the beginning of an entry's id.

    \b
    Example:
      arena entry name 3f9a01c2 "Ada L."
    """
    from arena.services import editing, queries

    found = queries.find_entry(ctx.db, prefix)
    editing.set_name(ctx.db, found, name, now=ctx.clock())
    click.echo(f"entry {short_id(found)} has the name {sanitize(name)!r}")


@entry.command()
@click.argument("prefix", metavar="ENTRY")
@click.option("--off", is_flag=True, help="Show the name again.")
@with_event
def mask(ctx: EventContext, prefix: str, off: bool) -> None:
    """Mask the name of an entry on every page, also on the stage and in the results. ENTRY begins an entry's id.

    \b
    Examples:
      arena entry mask 3f9a01c2
      arena entry mask 3f9a01c2 --off
    """
    from arena.services import editing, queries

    found = queries.find_entry(ctx.db, prefix)
    editing.set_masked(ctx.db, found, not off, now=ctx.clock())
    click.echo(f"the name of entry {short_id(found)} is {'shown' if off else 'masked'}")


@entry.command()
@click.argument("prefix", metavar="ENTRY")
@with_event
def hold(ctx: EventContext, prefix: str) -> None:
    """Hold an entry back from the draw. It is verified all the same. ENTRY is the beginning of an entry's id.

    \b
    Example:
      arena entry hold 3f9a01c2
    """
    _set_held(ctx, prefix, True)


@entry.command()
@click.argument("prefix", metavar="ENTRY")
@with_event
def release(ctx: EventContext, prefix: str) -> None:
    """Release an entry that is held back. ENTRY is the beginning of an entry's id.

    \b
    Example:
      arena entry release 3f9a01c2
    """
    _set_held(ctx, prefix, False)


def _set_held(ctx: EventContext, prefix: str, held: bool) -> None:
    from arena.services import editing, queries

    found = queries.find_entry(ctx.db, prefix)
    editing.set_held(ctx.db, found, held, now=ctx.clock())
    click.echo(f"entry {short_id(found)} is {'held back from the draw' if held else 'released'}")


@entry.command("verify-again")
@click.argument("prefixes", metavar="[ENTRY]...", nargs=-1)
@click.option("--all", "every", is_flag=True, help="Verify all entries that were checked.")
@click.option("--preview", is_flag=True, help="Show what would change, and change nothing.")
@yes_option
@with_event
def verify_again(ctx: EventContext, prefixes: tuple[str, ...], every: bool, preview: bool, yes: bool) -> None:
    """Verify entries again, here and now, and show what would change. ENTRY is the beginning of an entry's id.

    Then the command asks whether the new verdicts shall count. Once the bracket is drawn, there is only --preview:
    disqualify what should not have been verified.

    \b
    Examples:
      arena entry verify-again 3f9a01c2
      arena entry verify-again --all --preview
    """
    from arena.services import queries, rechecks
    from arena.services.verification import reason_of_report
    from arena.verification.runner import verify_files

    if bool(prefixes) == every:
        raise click.UsageError("name entries, or say --all")
    if not preview:
        rechecks.require_changeable(ctx.db)
    ids = None if every else [queries.find_entry(ctx.db, prefix) for prefix in prefixes]
    chosen = rechecks.checked_entries(ctx.db, ids)
    if not chosen:
        click.echo("no entry was checked yet")
        return
    results = []
    whole = [one for one in chosen if ctx.bundles.is_whole(one.bundle)]
    for one in chosen:
        if one not in whole:
            click.echo(f"{short_id(one.entry)}  could not be checked: its file in bundles is missing or damaged")
    paths = [ctx.bundles.local_copy(one.bundle) for one in whole]
    for one, report in zip(whole, verify_files(paths, 1), strict=True):
        after = one.state_after(report)
        change = "no change" if after == one.state else f"{one.state} -> {after}: {printable(reason_of_report(report))}"
        if report.verdict == "ERROR":
            change = f"could not be checked: {printable(report.reason or '')}"
        click.echo(f"{short_id(one.entry)}  {report.verdict:<10} {change}")
        results.append((one, report))
    changes = sum(one.state_after(report) != one.state for one, report in results)
    click.echo(f"{pluralize(changes, 'entry changes', 'entries change')} of {len(results)}")
    if preview:
        return
    if changes:
        confirm("Let the new verdicts count?", yes=yes)
    counted, problems = rechecks.record_rechecks(ctx.db, results, now=ctx.clock())
    echo_lines(problems)
    click.echo(f"{pluralize(counted, 'verdict is', 'verdicts are')} recorded")


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
