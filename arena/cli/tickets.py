"""`arena tickets`: cards with codes, each for one vote a match."""

from __future__ import annotations

import itertools
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

import click

from arena.cli.options import confirm, with_event, yes_option
from arena.cli.text import echo_lines, ticket_lines
from trainer.verse.text import pluralize, sanitize

if TYPE_CHECKING:
    from collections.abc import Sequence

    from arena.bootstrap import EventContext
    from arena.services.tickets import Card


class TicketGroup(click.Group):
    """Subcommands, and `issue` where a number stands in their place: `arena tickets 200`."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a subcommand."""
        return super().get_command(ctx, "issue" if cmd_name.isdigit() else cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return a subcommand and its arguments."""
        return super().resolve_command(ctx, ["issue", *args] if args[0].isdigit() else args)


@click.group(cls=TicketGroup)
def tickets() -> None:
    """Print cards, one for each guest, and replace lost ones.

    A card has a code to scan or to type. It votes once in each match, and enters one verse.
    `arena event admission tickets` makes the event ask for them.

    \b
    Examples:
      arena tickets 200 --spare 10 --address http://192.168.8.1:8000
      arena tickets replace 17
    """


@tickets.command()
@click.argument("count", type=click.IntRange(0))
@click.option("--spare", type=click.IntRange(0), default=0, show_default=True, help="Further cards, not valid yet.")
@click.option("--address", default="", help="The address that phones use.  [default: as `arena serve --lan` finds it]")
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="The page to print; a new file.  [default: tickets-1.html in the event folder]",
)
@with_event
def issue(ctx: EventContext, count: int, spare: int, address: str, output: Path | None) -> None:
    """Make cards, and write a page to print them from. `arena tickets 200` is short for `arena tickets issue 200`.

    The page is the only place that holds the codes: delete it when it is printed. The log of the event gets a digest
    of who may vote, so cards are made before the first match; spare ones serve for guests who come later.

    \b
    Example:
      arena tickets issue 200 --spare 10
    """
    from arena.addresses import lan_address
    from arena.services import queries
    from arena.services import tickets as service
    from arena.settings import check_public_url, with_event_path
    from trainer.verse.files import write_new

    base = address or queries.snapshot(ctx.db, now=ctx.clock()).address or ctx.settings.public_url
    if not base:
        base = with_event_path(f"http://{lan_address()}:{ctx.settings.port}", ctx.settings.path)
        click.echo(f"the cards lead to {base}, this machine's address now: name another with --address")
    check_public_url(base)
    base = with_event_path(base, ctx.settings.path)
    path = output or _free_name(ctx.settings.dir)
    if path.exists():
        raise click.ClickException(f"{path} exists, and may hold the codes of cards: name another file")
    cards = service.issue(ctx.db, count, spare, now=ctx.clock())
    try:
        is_written = write_new(path, _sheet(ctx, cards, base).encode())
    except BaseException:
        is_written = False
        raise
    finally:
        if not is_written:  # nobody can have their codes
            service.void(ctx.db, [card.number for card in cards], now=ctx.clock())
    if not is_written:
        raise click.ClickException(f"{path} was made meanwhile: name another file")
    numbers = f"{cards[0].number} to {cards[-1].number}" if len(cards) > 1 else str(cards[0].number)
    click.echo(f"{pluralize(len(cards), 'card')}, number {numbers}: print {sanitize(str(path))}, then delete it")


@tickets.command("list")
@click.option("--all", "every", is_flag=True, help="Also the cards that are valid.")
@with_event
def list_cards(ctx: EventContext, every: bool) -> None:
    """Count the cards, and list the spare and the void ones by number.

    \b
    Example:
      arena tickets list
    """
    from arena.services import queries
    from arena.services import tickets as service

    echo_lines(ticket_lines(queries.console_view(ctx.db, now=ctx.clock()).tickets))
    for number, batch, state in service.list_tickets(ctx.db):
        if every or state != "valid":
            click.echo(f"card {number:<6} {state:<6} batch {batch}")


@tickets.command()
@click.argument("cards", nargs=-1, metavar="[CARD]...")
@click.option("--batch", type=click.IntRange(1), help="All cards of this batch, such as those of a lost sheet.")
@yes_option
@with_event
def void(ctx: EventContext, cards: tuple[str, ...], batch: int | None, yes: bool) -> None:
    """Declare cards void for good. CARD is the number on a card, or its code. Votes that were cast stay.

    \b
    Example:
      arena tickets void 17
    """
    from arena.services import queries
    from arena.services import tickets as service

    if bool(cards) == (batch is not None):
        raise click.UsageError("name cards, or a batch with --batch")
    seen = queries.latest_record(ctx.db)
    if batch is not None:
        confirm(f"Declare all cards of batch {batch} void?", yes=yes)
        done = service.void_batch(ctx.db, batch, now=ctx.clock())
    else:
        numbers = [_number(ctx, card) for card in cards]
        confirm(f"Declare {pluralize(len(numbers), 'card')} void?", yes=yes)
        done = service.void(ctx.db, numbers, seen=seen, now=ctx.clock())
    click.echo(f"{pluralize(done, 'card is', 'cards are')} void now")


@tickets.command()
@click.argument("cards", nargs=-1, required=True, metavar="CARD...")
@with_event
def activate(ctx: EventContext, cards: tuple[str, ...]) -> None:
    """Make spare cards valid, for guests without one. CARD is the number on a card, or its code.

    \b
    Example:
      arena tickets activate 201 202
    """
    from arena.services import tickets as service

    done = service.activate(ctx.db, [_number(ctx, card) for card in cards], now=ctx.clock())
    click.echo(f"{pluralize(done, 'card is', 'cards are')} valid now")


@tickets.command()
@click.argument("card", metavar="CARD")
@click.option("--by", metavar="CARD", help="The spare card that is handed out.  [default: the first that is left]")
@with_event
def replace(ctx: EventContext, card: str, by: str | None) -> None:
    """Replace a lost card by a spare one. CARD is the number on a card, or its code.

    The lost card is void. The new one takes over its entries, and votes from the next match on, since the lost one may
    have voted in the match that is open.

    \b
    Example:
      arena tickets replace 17
    """
    from arena.services import tickets as service

    spare = _number(ctx, by) if by else None
    number = service.replace(ctx.db, _number(ctx, card), spare, now=ctx.clock())
    click.echo(f"hand out card {number}: the lost one is void")


def _number(ctx: EventContext, card: str) -> int:
    """Return the number of a card that was named by its number or its code."""
    from arena.errors import TicketUnknown
    from arena.services import tickets as service
    from trainer.verse.ticket import TicketFault, read_ticket

    if card.isascii() and card.isdigit() and len(card) <= 6:
        return int(card)
    try:
        code = read_ticket(card)
    except TicketFault as fault:
        raise click.ClickException(f"{fault}; or name the card by its number") from None
    number = service.number_of(ctx.db, code)
    if number is None:
        raise click.ClickException(str(TicketUnknown()))
    return number


def _free_name(folder: Path) -> Path:
    """Return the name of a page that is not there."""
    return next(path for number in itertools.count(1) if not (path := folder / f"tickets-{number}.html").exists())


def _sheet(ctx: EventContext, cards: Sequence[Card], address: str) -> str:
    """Return the page to print: the cards in a random order, the spare ones on sheets of their own."""
    from arena.services import events
    from arena.web.ticket_sheet import render_sheet
    from arena.web.translation import event_language

    shuffled = [card for card in cards if not card.is_spare]
    secrets.SystemRandom().shuffle(shuffled)
    spare = [card for card in cards if card.is_spare]
    language = event_language(ctx.settings.language)
    return render_sheet(shuffled, spare, address.rstrip("/"), events.current_event(ctx.db).name, language)
