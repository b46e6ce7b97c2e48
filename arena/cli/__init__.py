"""The `arena` command. One function a command, no logic; what a command needs is imported when it runs."""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from arena.cli.event import bracket, event, folder_option, handle_errors, match


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="verse-arena", prog_name="arena")
def main() -> None:
    """Verify verses, and run the evening on which a room votes for the best one."""


for group in (event, bracket, match):
    main.add_command(group)


@main.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON list with everything known about each file.")
@click.option("--jobs", type=click.IntRange(1, 256), help="Files checked at once.  [default: all cores]")
def verify(files: tuple[Path, ...], as_json: bool, jobs: int | None) -> None:
    """Write each bundle's verse again and compare, offline.

    \b
    PASS       the checkpoint writes exactly this verse
    FAIL       it writes another one, and where they first differ
    UNDECIDED  a decision too close to call; no fault of anybody
    MALFORMED  the file is no bundle, or breaks the format
    ERROR      no such file, or a limit of this machine

    The exit status is 0 if all pass, 1 if one fails or is malformed, 2 for anything else.

    \b
    Example:
      arena verify submissions/*.verse
    """
    try:
        status = _verify(files, as_json, jobs)
    except KeyboardInterrupt:
        click.echo("interrupted: the files without a line above were not checked", err=True)
        status = 130
    except BrokenPipeError:  # whoever read the lines has left; what is still in the buffer must not raise again
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 2
    except Exception:  # Python would exit with 1, which says that a verse failed
        traceback.print_exc()
        status = 2
    sys.exit(status)


def _verify(files: Sequence[Path], as_json: bool, jobs: int | None) -> int:
    from tqdm import tqdm

    from arena.cli.text import COLOURS, exit_status, lines_of
    from arena.verification.runner import available_cores, verify_files

    reports = []
    bar = tqdm(total=len(files), unit="file", leave=False, disable=None if len(files) > 1 else True)
    with bar:
        for report in verify_files(files, jobs or available_cores()):
            reports.append(report)
            if not as_json:
                with bar.external_write_mode():
                    for line in lines_of(report):
                        _print(line, report.verdict, COLOURS[report.verdict])
            bar.update()
    if as_json:
        click.echo(json.dumps([asdict(report) for report in reports], indent=2))
    return exit_status(reports)


def _print(line: str, verdict: str, colour: str) -> None:
    """Print a line on any terminal, with an escape for what its encoding lacks; colour the verdict it starts with."""
    encoding = sys.stdout.encoding or "utf-8"
    line = line.encode(encoding, errors="backslashreplace").decode(encoding)
    start = verdict if line.startswith(verdict) else ""
    click.echo(click.style(start, colour) + line[len(start) :])


@main.command()
@click.argument("place", metavar="[DIR]", required=False, type=click.Path(path_type=Path, file_okay=False))
@click.option("--name", default="An evening of verses", show_default=True, help="What every page calls the event.")
@click.option("--word", help="The draw word, which decides lots and ties.  [default: one drawn now]")
@click.option("--lines", type=int, help="Lines of a verse, at most.  [default: 8]")
@click.option("--characters", type=int, help="Characters of a verse, at most.  [default: 480]")
@click.option("--grace", type=float, help="Minutes after closing for uploads of claims in time.  [default: 15]")
@click.option("--match-seconds", type=float, help="How long a match stays open.  [default: 60]")
@click.option("--revote-seconds", type=float, help="How long a vote after a tie stays open.  [default: 30]")
@click.option("--max-entries", type=int, help="Entries of the whole event, replaced ones included.  [default: 5000]")
@click.option("--port", type=click.IntRange(1, 65_535), default=8000, show_default=True)
@click.option("--public-url", default="", help="The address phones use, e.g. https://verses.example.org.")
@folder_option
@handle_errors
def init(place: Path | None, folder: Path, name: str, word: str | None, **options: Any) -> None:
    """Make the folder of a new event: settings, secrets, an empty database.

    \b
    Example:
      arena init submissions/event --name "Poets of the lab"
    """
    from arena.cli.event import make_event

    settings = make_event(place or folder, name, word, options)
    click.echo(f"the event {settings.name!r} is in {settings.dir}")
    click.echo(f'the console\'s password is the "console_password" in {settings.dir / "secrets.json"}')
    click.echo(f"next: arena serve --dir {settings.dir}")


@main.command()
@click.option(
    "--lan",
    is_flag=False,
    flag_value="auto",
    metavar="[ADDRESS]",
    help="Let the local network in; ADDRESS is this machine's, for links, where it is not found by itself.",
)
@click.option("--port", type=click.IntRange(0, 65_535), help="0: any that is free.  [default: as set, 8000]")
@click.option("--public-url", default="", help="The address of a tunnel or proxy before this server, for links.")
@click.option("--jobs", type=click.IntRange(1, 256), help="Bundles checked at once.  [default: cores less one]")
@click.option("--console-remote", is_flag=True, help="Let the console answer other machines; needs an https address.")
@folder_option
@handle_errors
def serve(
    folder: Path, lan: str | None, port: int | None, public_url: str, jobs: int | None, console_remote: bool
) -> None:
    """Serve the event to phones and projector, and verify what comes in, until Ctrl-C.

    It listens on this machine only, until --lan lets the local network in.

    \b
    Examples:
      arena serve
      arena serve --lan
      arena serve --public-url https://verses.example.org
    """
    from arena.server.network import with_address
    from arena.server.server import serve as run
    from arena.settings import load_settings

    settings = with_address(load_settings(folder), lan=lan, port=port, public_url=public_url)
    run(settings, jobs=jobs, console_remote=console_remote, say=click.echo)


@main.command()
@click.option("--jobs", type=click.IntRange(1, 256), help="Bundles checked at once.  [default: cores less one]")
@folder_option
@handle_errors
def worker(folder: Path, jobs: int | None) -> None:
    """Verify waiting entries, beside the server's own worker, until Ctrl-C.

    \b
    Example:
      arena worker --jobs 4
    """
    from arena.worker import work

    try:
        work(folder, jobs or 0)
    except KeyboardInterrupt:
        click.echo("stopped; what was not done is for the next worker")


@main.command()
@click.option("--headless", is_flag=True, help="Play on with simulated voters to a champion, and end.")
@click.option("--minutes", type=click.FloatRange(0.1, 600), default=1.0, show_default=True, help="Of training, in all.")
@click.option("--steps", type=click.IntRange(1, 1_000_000), help="Of each training, instead of minutes.")
@click.option("--lan", is_flag=False, flag_value="auto", metavar="[ADDRESS]", help="Let the local network in.")
@click.option(
    "--dir",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="A new folder for it.  [default: submissions/demo-1, -2, ...]",
)
@handle_errors
def demo(headless: bool, minutes: float, steps: int | None, lan: str | None, folder: Path | None) -> None:
    """Play a whole evening: train, submit eight verses, verify, draw, and serve it.

    \b
    Examples:
      arena demo
      arena demo --headless --minutes 0.3
    """
    from arena.demo.demo import play

    play(folder, minutes, headless, steps, lan, click.echo)
