"""`arena backup` and `arena restore`: a copy of the event, and the event of a copy."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from arena.cli.options import folder_option, handle_errors, with_event
from arena.cli.text import printable
from arena.services.schemas import BackupReport
from trainer.verse.text import pluralize, sanitize

if TYPE_CHECKING:
    from arena.bootstrap import EventContext

backup_argument = click.argument("backup_folder", metavar="FOLDER", type=click.Path(path_type=Path, file_okay=False))


@click.command()
@backup_argument
@with_event
def backup(ctx: EventContext, backup_folder: Path) -> None:
    """Copy the event into FOLDER, such as one on a memory stick, also while it is being served.

    FOLDER is new, empty or an earlier backup. It will hold the event's secrets: whoever has it can run the event.
    `arena serve --standby FOLDER` does this by itself.

    \b
    Example:
      arena backup /media/stick/event
    """
    from arena.services.backups import back_up

    click.echo(backup_line(back_up(ctx.db, ctx.settings, backup_folder, now=ctx.clock())))


@click.command()
@backup_argument
@folder_option
@handle_errors
def restore(backup_folder: Path, folder: Path) -> None:
    """Make an event of the backup in FOLDER, here or on another computer, and go on with it.

    Every file of it is checked. Phones that still show a match send their votes again.

    \b
    Example:
      arena restore /media/stick/event --dir submissions/event
    """
    from arena.bootstrap import restore_event

    settings = restore_event(backup_folder, folder, now=time.time())
    click.echo(f"the event {printable(settings.name)!r} is in {sanitize(str(settings.dir))}")
    click.echo(sanitize(f"next: arena serve --dir {settings.dir}"))


def backup_line(report: BackupReport) -> str:
    """Write what a backup holds."""
    bundles = f"{pluralize(report.bundles, 'bundle')} ({report.copied} new)"
    return f"backup of {printable(report.event)}: log record {report.record}, {report.hash[:16]}; {bundles}"
