"""`arena rehearse`: play a whole evening with simulated phones."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from arena.cli.options import handle_errors

INTERRUPTED = 130  # the exit status of a program that Ctrl-C ended


@click.command()
@click.option("--phones", type=click.IntRange(2, 100_000), default=200, show_default=True, help="Phones in the room.")
@click.option(
    "--entries", type=click.IntRange(2, 1_024), default=8, show_default=True, help="Verses: one vote for each."
)
@click.option(
    "--seconds",
    type=click.FloatRange(1, 3_600),
    default=30.0,
    show_default=True,
    help="Seconds within which the whole room votes on a match.",
)
@click.option("--large", is_flag=True, help="Enter bundles of 21 MB instead of small ones.")
@click.option("--no-kill", is_flag=True, help="Do not kill the verification process in the middle.")
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True, help="Who does what, and when.")
@click.option("--to", "url", help="The address of a rehearsal event that is served, as phones use it; needs --dir.")
@click.option(
    "--dir", "folder", type=click.Path(path_type=Path, file_okay=False), help="The folder of that event, with --to."
)
@handle_errors
def rehearse(
    phones: int,
    entries: int,
    seconds: float,
    large: bool,
    no_kill: bool,
    seed: int,
    url: str | None,
    folder: Path | None,
) -> None:
    """Rehearse an evening on this computer, with simulated phones.

    It makes an event of its own, serves it, enters verses, lets the room vote on every match, and publishes. Phones ask
    every 4 seconds, as real ones do; some come late, tap twice, change their mind or lose the connection, and the
    verification process is killed once. At the end, each confirmed vote and entry is looked up in the database. The
    exit status is 0 if every promise was kept, 1 if not.

    With --to, the evening is played on a rehearsal event that is served elsewhere on this computer, by the address that
    phones will use. A real event is refused.

    \b
    Examples:
      arena rehearse
      arena rehearse --phones 2000 --entries 6
      arena init rehearsal --rehearsal --port 8100
      arena serve --dir rehearsal --lan
      arena rehearse --to http://192.168.1.5:8100 --dir rehearsal
    """
    from arena.rehearsal.evening import Plan
    from arena.rehearsal.rehearse import RehearsalOptions
    from arena.rehearsal.rehearse import rehearse as run
    from trainer.verse.text import sanitize

    if (url is None) != (folder is None):
        raise click.UsageError("--to and --dir belong together: the address and the folder of one rehearsal event")
    plan = Plan(phones, entries, seconds, large, seed)
    options = RehearsalOptions(plan, url, folder, not no_kill)
    try:
        report = run(options, say=lambda line: click.echo(sanitize(line)))
    except KeyboardInterrupt:
        click.echo("\nStopped.")
        sys.exit(INTERRUPTED)
    for line in report.lines():
        click.echo(sanitize(line))
    sys.exit(1 if report.broken else 0)
