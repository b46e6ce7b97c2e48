"""`arena export`: a published event in one file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from arena.cli.options import with_event
from arena.cli.text import printable
from trainer.verse.text import pluralize, sanitize

if TYPE_CHECKING:
    from arena.bootstrap import EventContext
    from arena.services.schemas import ExportReport


@click.command()
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--no-bundles", is_flag=True, help="Write the digests of bundles only: verses cannot be written again.")
@with_event
def export(ctx: EventContext, file: Path, no_bundles: bool) -> None:
    """Write the published event into FILE, a new one, for everybody who wants to check it.

    FILE holds the log, the bundles of the bracket, the ballots by voter id with times to the minute, and the rules.
    Authors and verses that did not play, or were disqualified, are left out. The same event gives the same bytes.

    \b
    Example:
      arena export event.zip
    """
    from arena.services.export import export_event

    report = export_event(ctx.db, ctx.bundles, file, key=ctx.settings.receipt_key, with_bundles=not no_bundles)
    click.echo(export_line(report))
    click.echo(sanitize(f"anybody can check it: arena audit {file}"))


def export_line(report: ExportReport) -> str:
    """Write what an export holds."""
    held = f"{pluralize(report.entries, 'entry', 'entries')}, {pluralize(report.bundles, 'bundle')}"
    head = f"log record {report.record}, {report.hash[:16]}"
    return sanitize(f"{report.path}: {printable(report.event)}, {report.size:,} bytes, {held}, {head}")
