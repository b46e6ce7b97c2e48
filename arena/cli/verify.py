"""`arena verify`: check bundles offline."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import traceback
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from arena.cli.text import VERDICT_COLORS, report_lines

if TYPE_CHECKING:
    from arena.verification.report import Report


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON list with everything known about each file.")
@click.option("--precise", is_flag=True, help="Decide by proof what float64 leaves open; slow.")
@click.option("--jobs", type=click.IntRange(1, 256), help="Files checked at the same time.  [default: all cores]")
def verify(files: tuple[Path, ...], as_json: bool, precise: bool, jobs: int | None) -> None:
    """Write the verse of each bundle again and compare. No network is used.

    \b
    PASS       the checkpoint writes exactly this verse, on every machine
    FAIL       the checkpoint writes another verse; the first difference is shown
    UNDECIDED  rounding could change a decision, so that machines may differ on it
    MALFORMED  the file is not a bundle, or breaks a rule of the format
    ERROR      there is no such file, or this machine reached a limit

    The exit status is 0 if all pass, 1 if one fails or is malformed, 2 for anything else.

    A verse that is UNDECIDED is exact mathematics, too. --precise computes it in ball arithmetic, with as many digits
    as a proof needs: minutes for a large model. It needs python-flint: pip install '.[precise]' in a clone.

    \b
    Example:
      arena verify submissions/*.verse
    """
    try:
        status = _verify(files, as_json, precise, jobs)
    except KeyboardInterrupt:
        click.echo("interrupted: the files without a line above were not checked", err=True)
        status = 130
    except BrokenPipeError:  # nobody reads the output; what is still in the buffer must not raise again
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 2
    except Exception:  # Python would exit with 1, which says that a verse failed
        traceback.print_exc()
        status = 2
    sys.exit(status)


def exit_status(verdicts: Iterable[str]) -> int:
    """Return 0 if all are PASS, 1 if one is FAIL or MALFORMED, else 2."""
    unique = set(verdicts)
    if unique & {"FAIL", "MALFORMED"}:
        return 1
    return 0 if unique == {"PASS"} else 2


def _verify(files: Sequence[Path], as_json: bool, precise: bool, jobs: int | None) -> int:
    from tqdm import tqdm

    if precise and importlib.util.find_spec("flint") is None:
        click.echo("--precise needs python-flint: pip install '.[precise]' in a clone of this repository", err=True)
        return 2

    from arena.verification.runner import available_cores, verify_files

    reports = []
    bar = tqdm(total=len(files), unit="file", leave=False, disable=None if len(files) > 1 else True)
    with bar:
        for report in verify_files(files, jobs or available_cores(), precise=precise):
            reports.append(report)
            if not as_json:
                with bar.external_write_mode():
                    _print_report(report)
            bar.update()
    if as_json:
        click.echo(json.dumps([asdict(report) for report in reports], indent=2))
    return exit_status(report.verdict for report in reports)


def _print_report(report: Report) -> None:
    """Print a report on any terminal, with escapes for what its encoding lacks and the verdict in color."""
    encoding = sys.stdout.encoding or "utf-8"
    for line in report_lines(report):
        printable = line.encode(encoding, errors="backslashreplace").decode(encoding)
        verdict = report.verdict if printable.startswith(report.verdict) else ""
        click.echo(click.style(verdict, VERDICT_COLORS[report.verdict]) + printable[len(verdict) :])
