"""The organizer's commands: everything the console can do, one function a command, each of which calls one service.

They work on the event's database, beside a server or without one; a server shows what they did within a tenth of a
second.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import click

from arena.errors import ArenaError

if TYPE_CHECKING:
    from arena.services.schemas import ConsoleView, EventView, MatchResult, MatchView, Side
    from arena.settings import Settings

P = ParamSpec("P")
R = TypeVar("R")
DEFAULT_FOLDER = "submissions/event"
SHORT = 8  # characters of an entry's id that commands take and show

folder_option = click.option(
    "--dir",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    envvar="ARENA_DIR",
    default=DEFAULT_FOLDER,
    show_default=True,
    show_envvar=True,
    help="The event folder.",
)
yes_option = click.option("--yes", is_flag=True, help="Do not ask.")


@dataclass(frozen=True)
class Opened:
    """What a command works on."""

    settings: Settings
    db: Any  # bootstrap.Database
    store: Any  # bootstrap.BundleStore


def handle_errors(command: Callable[P, R]) -> Callable[P, R]:
    """Turn what the arena and the system refuse into one line."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except ArenaError as error:
            raise click.ClickException(str(error)) from None
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            raise click.ClickException(f"{where}{error.strerror or error}") from None

    return run


def open_folder(folder: Path) -> Opened:
    """Open the event in a folder.

    Raises:
        ArenaError: there is none.
    """
    from arena.bootstrap import open_event
    from arena.settings import load_settings

    settings = load_settings(folder)
    event = open_event(settings.database_url, settings.dir, settings.min_free_bytes)
    return Opened(settings, event.db, event.store)


def make_event(folder: Path, name: str, word: str | None, options: dict[str, Any]) -> Settings:
    """Make a new event: its folder and its database.

    Args:
        word: the draw word; None: one is drawn.
        options: of `arena init`; None where not given.

    Raises:
        ArenaError: an event is there already, or an option is out of bounds.
    """
    import secrets

    from arena.bootstrap import open_event
    from arena.services import events
    from arena.services.schemas import EventRules
    from arena.settings import create_event_folder

    given = {key: value for key, value in options.items() if value is not None}
    if "grace" in given:
        given["grace_seconds"] = 60 * given.pop("grace")
    address = {key: given.pop(key) for key in ("port", "public_url") if key in given}
    rules = EventRules(**given)
    events.check_rules(rules)  # before there is a folder
    name = events.clean_name(name, events.MAX_NAME, "an event's name")
    settings = create_event_folder(folder, name, **address)
    event = open_event(settings.database_url, settings.dir, settings.min_free_bytes)
    events.create_event(event.db, name=name, draw_word=word or secrets.token_hex(8), rules=rules, now=time.time())
    return settings


@click.group()
def event() -> None:
    """See and steer the event: submissions, draw word, publishing."""


@event.command("show")
@folder_option
@handle_errors
def show_event(folder: Path) -> None:
    """Show where the evening stands.

    \b
    Example:
      arena event show
    """
    from arena.services import queries

    _say(_event_lines(queries.console_view(open_folder(folder).db, now=time.time())))


@event.command("entries")
@folder_option
@handle_errors
def show_entries(folder: Path) -> None:
    """List the entries, with states and reasons. Authors are shown: keep it off the projector.

    \b
    Example:
      arena event entries
    """
    from arena.cli.text import visible
    from arena.services import queries

    view = queries.console_view(open_folder(folder).db, now=time.time())
    for entry in view.entries:
        first = next((line for line in entry.text.splitlines() if line.strip()), "")
        twin = "  (the same verse as another owner's)" if entry.duplicates else ""
        _say([f"{entry.entry[:SHORT]}  {entry.state:<12} {visible(entry.name)}: {visible(first)}{twin}"])
        if entry.state not in ("verified", "waiting", "verifying"):
            _say([f"{'':<{SHORT}}  {'':<12} {visible(entry.reason)}"])
    if not view.entries:
        _say(["no entries yet"])


@event.command("open")
@click.option("--minutes", type=click.FloatRange(0, 7 * 24 * 60, min_open=True), help="Close by itself after so long.")
@folder_option
@handle_errors
def open_submissions(folder: Path, minutes: float | None) -> None:
    """Open submissions; also again, when they were closed too early.

    \b
    Example:
      arena event open --minutes 45
    """
    from arena.services import events

    now = time.time()
    _say_event(events.open_submissions(open_folder(folder).db, closes_at=_after(minutes, now), now=now))


@event.command("closing")
@click.option("--minutes", type=click.FloatRange(0, 7 * 24 * 60, min_open=True), help="From now.")
@click.option("--by-hand", is_flag=True, help="They stay open until `arena event close`.")
@folder_option
@handle_errors
def set_closing_time(folder: Path, minutes: float | None, by_hand: bool) -> None:
    """Set when submissions close by themselves.

    \b
    Example:
      arena event closing --minutes 10
    """
    from arena.services import events

    if (minutes is None) != by_hand:
        raise click.UsageError("say either --minutes or --by-hand")
    now = time.time()
    _say_event(events.set_closing_time(open_folder(folder).db, _after(minutes, now), now=now))


@event.command("close")
@folder_option
@handle_errors
def close_submissions(folder: Path) -> None:
    """Close submissions. Tensors of claims that are in may still follow until the grace time is over.

    \b
    Example:
      arena event close
    """
    from arena.services import events

    _say_event(events.close_submissions(open_folder(folder).db, now=time.time()))


@event.command("word")
@click.argument("word")
@folder_option
@handle_errors
def set_draw_word(folder: Path, word: str) -> None:
    """Set the word that decides lots and ties; best one that the room calls out.

    \b
    Example:
      arena event word "nightingale"
    """
    from arena.services import events

    events.set_draw_word(open_folder(folder).db, word, now=time.time())
    _say(["the draw word is set; the log holds its digest"])


@event.command("disqualify")
@click.argument("entry")
@click.option("--reason", required=True, help="One sentence, shown to its owner.")
@yes_option
@folder_option
@handle_errors
def disqualify(folder: Path, entry: str, reason: str, yes: bool) -> None:
    """Take an entry out, by the first letters of its id; its match is a walk-over.

    \b
    Example:
      arena event disqualify 3f9a01c2 --reason "It is a known poem."
    """
    from arena.services import bracket

    here = open_folder(folder)
    found, seen = _entry(here, entry)
    _ask(yes, f"Disqualify entry {found[:SHORT]}?")
    bracket.disqualify(here.db, found, reason, seen=seen, now=time.time())
    _say([f"entry {found[:SHORT]} is disqualified; `arena event reinstate` takes that back"])


@event.command("reinstate")
@click.argument("entry")
@folder_option
@handle_errors
def reinstate(folder: Path, entry: str) -> None:
    """Let a disqualified entry in again.

    \b
    Example:
      arena event reinstate 3f9a01c2
    """
    from arena.services import bracket

    here = open_folder(folder)
    found, seen = _entry(here, entry)
    bracket.reinstate(here.db, found, seen=seen, now=time.time())
    _say([f"entry {found[:SHORT]} is in again"])


@event.command("publish")
@yes_option
@folder_option
@handle_errors
def publish(folder: Path, yes: bool) -> None:
    """End the evening and make everything about it public. There is no way back.

    \b
    Example:
      arena event publish
    """
    from arena.services import events

    here = open_folder(folder)
    seen = _seen(here)
    _ask(yes, "Publish everything about this event, for good?")
    _say_event(events.publish(here.db, seen=seen, now=time.time()))


@click.group()
def bracket() -> None:
    """Draw the bracket, and see it."""


@bracket.command("draw")
@click.option("--without-missing", is_flag=True, help="Do not wait for entries that have no verdict yet.")
@folder_option
@handle_errors
def draw_bracket(folder: Path, without_missing: bool) -> None:
    """Draw the bracket by lot, from every verified entry.

    \b
    Example:
      arena bracket draw
    """
    from arena.services import bracket as service
    from arena.services import queries

    here = open_folder(folder)
    service.draw_bracket(here.db, without_missing=without_missing, now=time.time())
    _say(_bracket_lines(queries.console_view(here.db, now=time.time())))


@bracket.command("show")
@folder_option
@handle_errors
def show_bracket(folder: Path) -> None:
    """Show every match: its name, its verses, its result.

    \b
    Example:
      arena bracket show
    """
    from arena.services import queries

    _say(_bracket_lines(queries.console_view(open_folder(folder).db, now=time.time())))


@click.group()
def match() -> None:
    """Open, close and undo matches. `arena bracket show` has their names."""


@match.command("open")
@click.argument("match_id", metavar="[MATCH]", required=False)
@click.option(
    "--seconds", type=click.FloatRange(0, 3_600), help="How long; 0: until closed by hand.  [default: as set]"
)
@folder_option
@handle_errors
def open_match(folder: Path, match_id: str | None, seconds: float | None) -> None:
    """Open a match for votes; without a name, the next one.

    \b
    Example:
      arena match open r1m1 --seconds 90
    """
    from arena.services import bracket as service

    here = open_folder(folder)
    found = match_id or _next_match(here)
    opened = service.open_match(here.db, found, seconds=seconds, now=time.time())
    _say([_match_line(opened)])


@match.command("close")
@click.argument("match_id", metavar="[MATCH]", required=False)
@click.option("--revote", is_flag=True, help="Close the second vote, which a tie has opened.")
@folder_option
@handle_errors
def close_match(folder: Path, match_id: str | None, revote: bool) -> None:
    """Close the open match now and count. A tie opens a short second vote; a second one is decided by the draw word.

    The second vote is closed with --revote only: the clock may have closed the first one while you typed.

    \b
    Examples:
      arena match close
      arena match close --revote
    """
    from arena.services import bracket as service

    here = open_folder(folder)
    found = match_id or _open_match(here)
    result = service.close_match(here.db, found, poll_round=int(revote), now=time.time())
    _say(_result_lines(result))
    if result.state == "open" and revote > result.poll_round:
        raise click.ClickException(f"{found} is in its first vote: `arena match close` closes it")


@match.command("undo")
@click.argument("match_id", metavar="MATCH")
@yes_option
@folder_option
@handle_errors
def undo_match(folder: Path, match_id: str, yes: bool) -> None:
    """Take a result back, and with it whatever followed from it. Its votes are void; it can be opened again.

    \b
    Example:
      arena match undo r1m2
    """
    from arena.services import bracket as service

    here = open_folder(folder)
    seen = _seen(here)
    _ask(yes, f"Undo {match_id}, and every result that followed from it?")
    _say([_match_line(service.undo_match(here.db, match_id, seen=seen, now=time.time()))])


def _say(lines: list[str] | Iterator[str]) -> None:
    for line in lines:
        click.echo(line)


def _say_event(view: EventView) -> None:
    _say([f"the event is {view.state}", *_times(view)])


def _ask(yes: bool, question: str) -> None:
    if not yes:
        click.confirm(question, abort=True)


def _after(minutes: float | None, now: float) -> float | None:
    return None if minutes is None else now + 60 * minutes


def _seen(here: Opened) -> int:
    """The log's latest record now."""
    from arena.services import queries

    return queries.console_view(here.db, now=time.time()).log_number


def _entry(here: Opened, start: str) -> tuple[str, int]:
    """The one entry whose id starts so, and the log's latest record now."""
    from arena.services import queries

    view = queries.console_view(here.db, now=time.time())
    found = [one.entry for one in view.entries if one.entry.startswith(start.lower())]
    if len(found) != 1:
        what = f"{len(found)} entries start" if found else "no entry starts"
        raise click.ClickException(f"{what} with {start!r}: `arena event entries` has their ids")
    return found[0], view.log_number


def _next_match(here: Opened) -> str:
    from arena.services import queries

    view = queries.console_view(here.db, now=time.time())
    if view.next is None:
        raise click.ClickException("no match is ready: `arena event show` says where the evening stands")
    return view.next.id


def _open_match(here: Opened) -> str:
    from arena.services import queries

    view = queries.console_view(here.db, now=time.time())
    if view.open is None:
        raise click.ClickException("no match is open: `arena match open` opens the next one")
    return view.open.id


def _event_lines(view: ConsoleView) -> Iterator[str]:
    from arena.cli.text import visible

    yield f"{visible(view.event.name)}: {view.event.state}"
    yield from _times(view.event)
    counts = [f"{count} {state}" for state, count in view.counts.items() if count]
    yield "entries: " + (", ".join(counts) or "none")
    if view.matches:
        closed = sum(one.state == "closed" for one in view.matches)
        yield f"matches: {closed} of {len(view.matches)} closed"
    if view.open is not None:
        yield "open: " + _match_line(view.open)
    if view.next is not None:
        yield "next: " + _match_line(view.next)
    for what, side in (("champion", view.champion), ("third", view.third)):
        if side is not None:
            yield f"{what}: {_side(side)}"
    yield f"log: record {view.log_number}, {view.log_hash[:16]}"


def _times(view: EventView) -> Iterator[str]:
    for what, moment in (("closes", view.closes_at), ("grace ends", view.grace_ends_at)):
        if moment is not None and view.state in ("draft", "open", "closed"):
            yield f"{what} at {time.strftime('%H:%M:%S', time.localtime(moment))}"


def _bracket_lines(view: ConsoleView) -> Iterator[str]:
    if not view.matches:
        yield "there is no bracket yet" if view.event.state != "void" else "nobody entered: there is nothing to play"
    for one in view.matches:
        yield _match_line(one)
    if view.champion is not None:
        yield f"champion: {_side(view.champion)}"


def _match_line(one: MatchView) -> str:
    result = ""
    if one.state == "open":
        second = "re-vote, " if one.poll_round else ""
        until = f" until {time.strftime('%H:%M:%S', time.localtime(one.closes_at))}" if one.closes_at else ""
        result = f"  ({second}{one.votes or 0} votes{until})"
    elif one.decided_by is not None:
        counts = ", ".join(f"{upper}:{lower}" for upper, lower in one.tallies or [])
        result = f"  ({one.decided_by}{' ' + counts if counts else ''})"
    return f"{one.id:<6} {one.state:<8} {_side(one.upper)} | {_side(one.lower)}{result}"


def _side(side: Side | None) -> str:
    from arena.cli.text import visible

    if side is None:
        return "?"
    name = f" by {visible(side.name)}" if side.name else ""
    return f"{side.seed}. {visible(side.label)}{name}{' *' if side.mark == 'won' else ''}"


def _result_lines(result: MatchResult) -> Iterator[str]:
    counts = ", ".join(f"{upper}:{lower}" for upper, lower in result.tallies)
    if result.state == "open":
        until = f" until {time.strftime('%H:%M:%S', time.localtime(result.closes_at))}" if result.closes_at else ""
        yield f"{result.match} is a tie ({counts}): the second vote is open{until}"
    else:
        winner = (result.winner or "?")[:SHORT]
        yield f"{result.match} is closed ({counts}): entry {winner} goes on, by {result.decided_by}"
    if result.champion is not None:
        yield f"the champion is entry {result.champion[:SHORT]}"
