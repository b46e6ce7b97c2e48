"""`arena console-password`: a new password for the console."""

from __future__ import annotations

from pathlib import Path

import click

from arena.cli.options import folder_option, handle_errors
from trainer.verse.text import sanitize


@click.command("console-password")
@folder_option
@handle_errors
def console_password(folder: Path) -> None:
    """Make a new password for the console; whoever is logged in is logged out, also while the server runs.

    The password is not shown: it is in the file secrets.json of the event folder, which only its owner can read.

    \b
    Example:
      arena console-password
    """
    from arena.settings import SECRETS_FILE, load_settings, replace_console_password

    settings = load_settings(folder)
    replace_console_password(folder)
    shown = sanitize(str(settings.dir / SECRETS_FILE))
    click.echo(f'the new password is the "console_password" in {shown}; every browser is logged out')
