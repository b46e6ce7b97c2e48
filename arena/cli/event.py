"""`arena event`: the organizer's commands for the event."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from arena.cli.options import confirm, with_event, yes_option
from arena.cli.text import admission_lines, clock_lines, echo_lines, event_lines, rule_lines, state_lines
from trainer.verse.text import pluralize, sanitize

if TYPE_CHECKING:
    from arena.bootstrap import EventContext

MAX_MINUTES = 7 * 24 * 60  # until submissions close: a week
RULES = {  # options of `set` that have another name than the rule
    "grace": "grace_seconds",
    "entries": "max_entries",
    "verses": "max_claims",
    "unchecked": "max_open",
    "check_mib": "check_memory",
}
minutes_type = click.FloatRange(0, MAX_MINUTES, min_open=True)


@click.group()
def event() -> None:
    """Show, open, close, tidy and publish the event, set its rules, and choose who votes.

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

    echo_lines(event_lines(queries.console_view(ctx.db, now=ctx.clock())))


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

    now = ctx.clock()
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
    now = ctx.clock()
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

    echo_lines(state_lines(events.close_submissions(ctx.db, now=ctx.clock())))


@event.command("set")
@click.option("--name", help="The title of every page.")
@click.option("--lines", type=click.IntRange(1), help="Maximum lines of a verse.")
@click.option("--characters", type=click.IntRange(1), help="Maximum characters of a verse.")
@click.option("--prompt-characters", type=click.IntRange(1), help="Maximum characters of a prompt.")
@click.option("--grace", type=click.FloatRange(0), help="Minutes after closing in which uploads may finish.")
@click.option("--reading-seconds", type=click.FloatRange(0), help="Seconds of reading before each vote.")
@click.option("--match-seconds", type=click.FloatRange(0), help="Seconds of a vote.")
@click.option("--revote-seconds", type=click.FloatRange(0), help="Seconds of the second vote after a tie.")
@click.option("--entries", type=click.IntRange(1), help="Owners who may have a verse in the event.")
@click.option("--verses", type=click.IntRange(1), help="Verses that one owner may enter.")
@click.option("--unchecked", type=click.IntRange(1), help="Verses of one owner that may wait for their check.")
@click.option("--check-seconds", type=click.FloatRange(1), help="Processor seconds that the check of a verse may take.")
@click.option("--check-mib", type=click.IntRange(1), help="MiB of memory that the check of a verse may take.")
@yes_option
@with_event
def set_rules(ctx: EventContext, /, yes: bool, name: str | None, **given: float | None) -> None:
    """Show the title, the rules and the limits of the event, and set those that are given.

    What is in the event already stays in. Once there are entries, the command asks first. When the bracket is drawn,
    the title and the times of later matches can still change.

    \b
    Examples:
      arena event set --entries 512
      arena event set --name "Poets of the lab" --match-seconds 45
    """
    from arena.services import events, queries

    seen = queries.latest_record(ctx.db)
    changes = {RULES.get(option, option): value for option, value in given.items() if value is not None}
    for rule, factor in (("grace_seconds", 60), ("check_memory", 2**20)):
        if rule in changes:
            changes[rule] *= factor
    if not changes and name is None:
        echo_lines(rule_lines(events.current_event(ctx.db)))
        return
    if entered := len(queries.list_entries(ctx.db)):
        confirm(f"{pluralize(entered, 'verse was', 'verses were')} entered by the rules so far. Change them?", yes=yes)
    echo_lines(rule_lines(events.set_rules(ctx.db, name=name, seen=seen, now=ctx.clock(), **changes)))


@event.command("admission")
@click.argument("mode", required=False, type=click.Choice(["tickets", "pin", "open"]))
@with_event
def set_admission(ctx: EventContext, mode: str | None) -> None:
    """Show or choose who may vote, before the first match is opened.

    \b
    tickets  One vote a card: `arena tickets` prints cards. A card enters one verse, too.
    pin      Whoever types the PIN that the stage shows; it changes every minute.
    open     Everybody, one vote a browser. A private window is another browser.

    \b
    Example:
      arena event admission tickets
    """
    from arena.services import events, queries, voters

    if mode is None:
        view = events.current_event(ctx.db)
    else:
        view = voters.set_admission(ctx.db, mode, seen=queries.latest_record(ctx.db), now=ctx.clock())
    echo_lines(admission_lines(view))
    if view.admission == "pin":
        from arena.web.cookies import stage_address

        click.echo(f"the stage with the PIN: {stage_address(ctx.settings, 'pin', ctx.settings.local_url)}")


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

    found = tidying.find_unneeded(ctx.db, ctx.bundles, now=ctx.clock())
    if not found:
        click.echo("every bundle is needed")
        return
    for stored in found:
        click.echo(f"{stored.size:>13,} bytes  {stored.digest[:16]}")
    total = sum(stored.size for stored in found)
    confirm(f"Remove {pluralize(len(found), 'bundle')}, {total:,} bytes?", yes=yes)
    digests = [stored.digest for stored in found]
    removed = tidying.remove_unneeded(ctx.db, ctx.bundles, digests, now=ctx.clock())
    click.echo(f"{pluralize(len(removed), 'bundle')} removed, {sum(stored.size for stored in removed):,} bytes")


@event.command("address")
@click.argument("address", required=False)
@with_event
def set_address(ctx: EventContext, address: str | None) -> None:
    """Show or set the address of the QR codes and links, while the event is served.

    Without ADDRESS, list this computer's addresses: a phone in the room reaches those of its own network, not those of
    a VPN. ADDRESS is one of them, or the whole address of a tunnel. Stage and phones follow within seconds.

    \b
    Examples:
      arena event address
      arena event address 192.168.1.5
      arena event address https://verses.example.org
    """
    from arena.addresses import address_url, list_addresses
    from arena.services import events, queries

    current = events.current_address(ctx.db) or ctx.settings.base_url
    if address is not None:
        url = address_url(address, current, path=ctx.settings.path)
        events.set_address(ctx.db, url, seen=queries.latest_record(ctx.db), now=ctx.clock())
        current = url
    click.echo(f"phones use {sanitize(current)}/")
    for one in list_addresses() if address is None else ():
        click.echo(f"  {one.address:<15}  {one.kind}, {sanitize(one.interface)}")


@event.command("clock")
@click.option("--follow", is_flag=True, help="Take the computer's time; what is open keeps the time it has left.")
@click.option("--close-as-said", is_flag=True, help="With --follow: keep closing times as times of day.")
@with_event
def set_clock(ctx: EventContext, follow: bool, close_as_said: bool) -> None:
    """Compare the event's clock with the computer's, or set it.

    The event counts by itself, so that a match of a minute takes a minute even if somebody changes the computer's clock
    or the computer sleeps.

    \b
    Examples:
      arena event clock
      arena event clock --follow
    """
    from arena.services import queries, timing

    if close_as_said and not follow:
        raise click.UsageError("--close-as-said needs --follow")
    if follow:
        seen = queries.latest_record(ctx.db)
        timing.follow_computer(ctx.db, ctx.clock, keep_time_left=not close_as_said, seen=seen)
    echo_lines(clock_lines(ctx.clock(), ctx.clock.computer, ctx.clock.ahead))


@event.command()
@yes_option
@with_event
def publish(ctx: EventContext, yes: bool) -> None:
    """End the event and make everything about it public. This cannot be undone.

    `arena results FOLDER` then writes the results as files for any web host.

    \b
    Example:
      arena event publish
    """
    from arena.services import publishing, queries

    seen = queries.latest_record(ctx.db)
    confirm("Publish everything about this event? This cannot be undone.", yes=yes)
    echo_lines(state_lines(publishing.publish(ctx.db, seen=seen, now=ctx.clock())))


def _closing_time(minutes: float | None, now: float) -> float | None:
    return None if minutes is None else now + 60 * minutes
