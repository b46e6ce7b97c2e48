"""`arena check-page`: the page that checks verses, to keep."""

from __future__ import annotations

from pathlib import Path

import click

from arena.cli.options import handle_errors


@click.command("check-page")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--force", is_flag=True, help="Replace the file if there is one.")
@handle_errors
def check_page(file: Path, force: bool) -> None:
    """Write the page that checks verses into one HTML file.

    Opened in a browser, the page writes the verse of a bundle again, shows what the model chose from, and says PASS,
    FAIL or UNDECIDED. It needs no network and no installation, so it can be given to anybody who doubts a verse.

    \b
    Example:
      arena check-page check.html
    """
    from arena.web.check_page import saved_page
    from trainer.verse.files import write_atomically

    if file.exists() and not force:
        raise click.ClickException(f"{file} exists: choose another name, or replace it with --force")
    write_atomically(file, saved_page().encode())
    click.echo(f"Written: {file}. Open it in a browser.")
