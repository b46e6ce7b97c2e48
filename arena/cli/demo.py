"""`arena demo`: a whole event with simulated poets and voters."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from arena.cli.options import handle_errors

INTERRUPTED = 130  # the exit status of a program that Ctrl-C ended


@click.command()
@click.option("--headless", is_flag=True, help="Let simulated voters vote until there is a champion, then end.")
@click.option(
    "--minutes",
    type=click.FloatRange(0.1, 600),
    default=1.0,
    show_default=True,
    help="Minutes to train a model and to choose its verses; from 4 on, two models.",
)
@click.option("--steps", type=click.IntRange(1, 1_000_000), help="Steps of the training, instead of --minutes.")
@click.option("--no-train", is_flag=True, help="Use the model that comes along, which was trained for nine minutes.")
@click.option("--no-open", is_flag=True, help="Do not open the pages in a browser.")
@click.option(
    "--lan", is_flag=False, flag_value="auto", metavar="[ADDRESS]", help="Accept phones of the local network."
)
@click.option(
    "--dir",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="A new folder for the demo.  [default: submissions/demo-1, -2, ...]",
)
@handle_errors
def demo(
    headless: bool,
    minutes: float,
    steps: int | None,
    no_train: bool,
    no_open: bool,
    lan: str | None,
    folder: Path | None,
) -> None:
    """Run a demonstration event.

    It trains a model, lets eight poets choose and submit its verses, verifies them, draws the bracket, opens the first
    match, and serves the event. On a machine with a screen, its pages open in the browser.

    \b
    Examples:
      arena demo
      arena demo --no-train
      arena demo --headless --minutes 0.3
    """
    from arena.demo.demo import DemoOptions, run_demo
    from trainer.verse.text import sanitize_lines

    if no_train and steps:
        raise click.UsageError("--no-train has no --steps: give one of them")
    options = DemoOptions(folder, minutes, steps, not no_train, headless, not no_open, lan)
    try:
        run_demo(options, say=lambda text: click.echo(sanitize_lines(text)))
    except KeyboardInterrupt:  # run_demo has said so
        sys.exit(INTERRUPTED)
