"""The `arena` command. One function a command, no logic; what a command needs is imported when it runs."""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import click


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="verse-arena", prog_name="arena")
def main() -> None:
    """Verify verses, and run the evening on which a room votes for the best one."""


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

    from arena.services.verification import available_cores, verify_files
    from arena.show import COLOURS, exit_status, lines_of

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
