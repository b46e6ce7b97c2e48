"""`arena audit`: whether everything about an event follows from its log."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from arena.cli.options import folder_option, handle_errors
from trainer.verse.text import sanitize

if TYPE_CHECKING:
    from arena.audit.page import Page

MAX_LINE = 400  # characters of one line of the page


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
@folder_option
def audit(as_json: bool, folder: Path) -> None:
    """Compute everything about an event again from its log, and compare.

    The tables of the event in --dir are rebuilt from its log, the votes and the bundles.

    \b
    The exit status is 0 if everything agrees, 1 if something does not, 2 for anything else.

    \b
    Example:
      arena audit --dir submissions/event
    """
    try:
        status = show(audit_folder(folder), as_json)
    except click.ClickException as error:
        vars(error)["exit_code"] = 2  # 1 says that something does not agree
        raise
    sys.exit(status)


@handle_errors
def audit_folder(folder: Path) -> Page:
    """Audit the tables of an event folder."""
    from arena.bootstrap import open_event
    from arena.services.audit import audit_tables
    from arena.services.receipts import public_key_of
    from arena.settings import load_settings

    event = open_event(load_settings(folder))
    try:
        return audit_tables(event.db, event.bundles, receipt_key=public_key_of(event.settings.receipt_key))
    finally:
        event.close()


def show(page: Page, as_json: bool) -> int:
    """Print a page; return the exit status."""
    if as_json:
        click.echo(json.dumps(page.to_dict(), indent=2))
    else:
        for line in page.lines():
            click.echo(sanitize(line, MAX_LINE))
    return 0 if page.agrees else 1
