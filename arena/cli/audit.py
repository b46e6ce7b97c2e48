"""`arena audit`: whether everything about an event follows from its log, in its folder or in an export."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from arena.cli.options import folder_option, handle_errors, jobs_option
from trainer.verse.text import sanitize

if TYPE_CHECKING:
    from arena.audit.page import Page

MAX_LINE = 400  # characters of one line of the page
MAX_RECEIPT = 2**16  # bytes


@click.command()
@click.argument("file", required=False, metavar="[FILE]", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
@click.option("--head", metavar="HASH", help="A hash of the log that you saw, such as on the stage; 16 digits or more.")
@click.option("--key", metavar="DIGITS", help="The event's key or its fingerprint, as you saw it.")
@click.option(
    "--receipt",
    "receipts",
    multiple=True,
    metavar="RECEIPT",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A receipt that `trainer submit` kept. It can be given several times.",
)
@jobs_option
@folder_option
def audit(
    file: Path | None,
    as_json: bool,
    head: str | None,
    key: str | None,
    receipts: tuple[Path, ...],
    jobs: int | None,
    folder: Path,
) -> None:
    """Compute everything about an event again from its log, and compare.

    With FILE, which `arena export` wrote: the log, every signature, every verse, the draw, all votes, ties and the
    champion. It needs no server, no database and no network. Without FILE: the tables of the event in --dir, which are
    rebuilt from its log.

    \b
    The exit status is 0 if everything agrees, 1 if something does not, 2 for anything else.

    \b
    Examples:
      arena audit event.zip --head 3f9c0a77d1e2b8c4
      arena audit --dir submissions/event
    """
    try:
        if file is None:
            if head or key or receipts:
                raise click.UsageError("--head, --key and --receipt need a FILE")
            page = audit_folder(folder)
        else:
            page = audit_export(file, head, key, receipts, jobs)
        status = show(page, as_json)
    except click.ClickException as error:
        vars(error)["exit_code"] = 2  # 1 says that something does not agree
        raise
    sys.exit(status)


@handle_errors
def audit_export(path: Path, head: str | None, key: str | None, receipts: tuple[Path, ...], jobs: int | None) -> Page:
    """Audit the file of a published event, with a progress bar.

    Args:
        path: the file.
        head: a hash that the auditor saw.
        key: the key or fingerprint that the auditor saw.
        receipts: files of receipts.
        jobs: verses written at the same time; None: one a core.
    """
    from tqdm import tqdm

    from arena.audit.check import Known, audit_file
    from arena.verification.runner import available_cores

    known = Known(head, key, {str(receipt): read_receipt(receipt) for receipt in receipts})
    with tqdm(unit="verse", leave=False, disable=None) as bar:

        def progress(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        return audit_file(path, known, jobs or available_cores(), progress)


def read_receipt(path: Path) -> dict[str, Any]:
    """Read a receipt that somebody kept.

    Raises:
        ClickException: It is not a receipt.
    """
    from trainer.verse import strictjson

    try:
        with path.open("rb") as file:
            value = strictjson.parse(file.read(MAX_RECEIPT))
    except ValueError as error:
        raise click.ClickException(f"{path} is not a receipt: {error}") from None
    if not isinstance(value, dict):
        raise click.ClickException(f"{path} is not a receipt: it must be a JSON object")
    return value


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
