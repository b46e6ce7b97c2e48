"""`arena init`: make a new event."""

from __future__ import annotations

from pathlib import Path

import click

from arena.cli.options import folder_option, handle_errors
from arena.services.schemas import READING_SECONDS, EventRules


@click.command()
@click.argument("positional", metavar="[DIR]", required=False, type=click.Path(path_type=Path, file_okay=False))
@click.option("--name", default="An evening of verses", show_default=True, help="The name of the event on every page.")
@click.option("--lines", default=EventRules.lines, show_default=True, help="Maximum lines of a verse.")
@click.option("--characters", default=EventRules.characters, show_default=True, help="Maximum characters of a verse.")
@click.option(
    "--prompt-characters",
    default=EventRules.prompt_characters,
    show_default=True,
    help="Maximum characters of a prompt, which is shown with its verse.",
)
@click.option(
    "--grace",
    default=EventRules.grace_seconds / 60,
    show_default=True,
    help="Minutes after closing in which uploads that have begun may finish.",
)
@click.option(
    "--reading-seconds",
    default=READING_SECONDS,
    show_default=True,
    help="Seconds in which two verses are read before their vote begins.",
)
@click.option(
    "--match-seconds", default=EventRules.match_seconds, show_default=True, help="Seconds that a match stays open."
)
@click.option(
    "--revote-seconds",
    default=EventRules.revote_seconds,
    show_default=True,
    help="Seconds that the second vote after a tie stays open.",
)
@click.option(
    "--max-entries",
    default=EventRules.max_entries,
    show_default=True,
    help="Maximum owners with a verse in the event.",
)
@click.option(
    "--check-seconds",
    default=EventRules.check_seconds,
    show_default=True,
    help="Maximum processor seconds for the check of a verse.",
)
@click.option(
    "--check-mib",
    default=EventRules.check_memory // 2**20,
    show_default=True,
    help="Maximum MiB of memory for the check of a verse.",
)
@click.option(
    "--database-url",
    envvar="ARENA_DATABASE_URL",
    show_envvar=True,
    help="An empty PostgreSQL database, e.g. postgresql://user:password@host/database.  [default: a file in DIR]",
)
@click.option(
    "--bundles-url",
    envvar="ARENA_BUNDLES",
    default="",
    show_envvar=True,
    help="An object store that all hosts of the event share, e.g. s3://bucket/folder.  [default: the event folder]",
)
@click.option(
    "--join",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    metavar="FILE",
    help="Serve an event of another host, too: FILE is its secrets.json. Needs --database-url and --bundles-url.",
)
@click.option("--port", type=click.IntRange(1, 65_535), default=8000, show_default=True, help="The server's port.")
@click.option(
    "--public-url",
    default="",
    help="The address that phones use, e.g. https://verses.example.org, or https://verses.example.org/e/spring where "
    "several events share a server.",
)
@click.option("--rehearsal", is_flag=True, help="Make an event that `arena rehearse` may use up: no real event.")
@folder_option
@handle_errors
def init(
    positional: Path | None,
    folder: Path,
    name: str,
    lines: int,
    characters: int,
    prompt_characters: int,
    grace: float,
    reading_seconds: float,
    match_seconds: float,
    revote_seconds: float,
    max_entries: int,
    check_seconds: float,
    check_mib: int,
    database_url: str | None,
    bundles_url: str,
    join: Path | None,
    port: int,
    public_url: str,
    rehearsal: bool,
) -> None:
    """Make a new event: a folder with settings, secrets and an empty database.

    \b
    Example:
      arena init submissions/event --name "Poets of the lab"
    """
    import os
    import time

    from arena.bootstrap import join_event, make_event
    from arena.settings import privacy_warning
    from trainer.verse.text import sanitize

    rules = EventRules(
        lines=lines,
        characters=characters,
        prompt_characters=prompt_characters,
        grace_seconds=60 * grace,
        reading_seconds=reading_seconds,
        match_seconds=match_seconds,
        revote_seconds=revote_seconds,
        max_entries=max_entries,
        check_seconds=check_seconds,
        check_memory=check_mib * 2**20,
    )
    if join is not None:
        if database_url is None:
            raise click.UsageError("--join needs the event's database: name it with --database-url")
        settings = join_event(
            positional or folder,
            join,
            database_url=database_url,
            bundles_url=bundles_url,
            port=port,
            public_url=public_url,
        )
    else:
        settings = make_event(
            positional or folder,
            name=name,
            rules=rules,
            database_url=database_url,
            bundles_url=bundles_url,
            port=port,
            public_url=public_url,
            rehearsal=rehearsal,
            now=time.time(),
        )
    shown = sanitize(str(settings.dir))
    click.echo(f"the event {sanitize(settings.name)!r} is in {shown}")
    click.echo(f'the password of the console is "console_password" in {shown}{os.sep}secrets.json')
    if warning := privacy_warning(settings):
        click.echo(sanitize(warning), err=True)
    click.echo(f"next: arena serve --dir {shown}")
