"""`arena results`: the results as a folder of files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from arena.cli.options import with_event
from trainer.verse.text import pluralize

if TYPE_CHECKING:
    from arena.bootstrap import EventContext


@click.command()
@click.argument("target", metavar="FOLDER", type=click.Path(path_type=Path, file_okay=False))
@with_event
def results(ctx: EventContext, target: Path) -> None:
    """Write the results into FOLDER, as files that any web host can serve: no program is needed there.

    The folder has a page with the bracket, all matches and the places of everybody, a page and a certificate for each
    author, the champion's verse as a picture, and everything as JSON and CSV. It opens from a disk, too: index.html.

    \b
    Example:
      arena results verses-2026
    """
    from arena.web.folder import write_site

    files = write_site(ctx, target)
    click.echo(f"{pluralize(len(files), 'file')} in {target}: open {target / 'index.html'}, or copy them to a web host")
