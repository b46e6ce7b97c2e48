"""`arena demo`: a whole event with simulated voters."""

from __future__ import annotations

from pathlib import Path

import click

from arena.cli.options import handle_errors


@click.command()
@click.option("--headless", is_flag=True, help="Let simulated voters vote until there is a champion, then end.")
@click.option(
    "--minutes", type=click.FloatRange(0.1, 600), default=1.0, show_default=True, help="Minutes of training, in all."
)
@click.option("--steps", type=click.IntRange(1, 1_000_000), help="Steps of each training run, instead of --minutes.")
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
def demo(headless: bool, minutes: float, steps: int | None, lan: str | None, folder: Path | None) -> None:
    """Run a demonstration event.

    It trains two checkpoints, submits eight verses, verifies them, draws the bracket, and serves the event.

    \b
    Examples:
      arena demo
      arena demo --headless --minutes 0.3
    """
    from arena.demo.demo import run_demo

    run_demo(folder, minutes=minutes, headless=headless, steps=steps, lan=lan, say=click.echo)
