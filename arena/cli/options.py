"""Options that several commands share, the event that a command works on, and errors as one line."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar

import click

from arena.errors import ArenaError
from trainer.verse.text import sanitize

if TYPE_CHECKING:
    from arena.bootstrap import EventContext

P = ParamSpec("P")
R = TypeVar("R")
DEFAULT_FOLDER = "submissions/event"

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
jobs_option = click.option(
    "--jobs", type=click.IntRange(1, 256), help="Bundles checked at the same time.  [default: by the number of cores]"
)
log_option = click.option(
    "--log-format",
    type=click.Choice(["text", "json"]),
    envvar="ARENA_LOG_FORMAT",
    default="text",
    show_default=True,
    show_envvar=True,
    help="Write messages as text, or as one JSON object a line.",
)
yes_option = click.option("--yes", is_flag=True, help="Do not ask for confirmation.")


def handle_errors(command: Callable[P, R]) -> Callable[P, R]:
    """Report errors of the arena and of the system as one line."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except ArenaError as error:
            raise click.ClickException(sanitize(str(error))) from None
        except OSError as error:
            name = f"{error.filename}: " if error.filename else ""
            raise click.ClickException(sanitize(f"{name}{error.strerror or error}")) from None

    return run


def with_event(command: Callable[Concatenate[EventContext, P], R]) -> Callable[..., R]:
    """Add --dir to a command, open the event in that folder, and pass it as the first argument."""

    @folder_option
    @handle_errors
    @functools.wraps(command)
    def run(folder: Path, *args: P.args, **kwargs: P.kwargs) -> R:
        from arena.bootstrap import open_event
        from arena.settings import load_settings

        ctx = open_event(load_settings(folder))
        try:
            return command(ctx, *args, **kwargs)
        finally:
            ctx.close()

    return run


def confirm(question: str, *, yes: bool) -> None:
    """Ask for confirmation, unless `yes` is given, and abort the command without it."""
    if yes:
        return
    try:
        click.confirm(question, abort=True)
    except click.Abort:
        if not sys.stdin.isatty():
            click.echo("Nobody agreed. Without a terminal, --yes agrees.", err=True)
        raise
