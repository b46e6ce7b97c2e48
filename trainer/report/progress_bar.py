"""The progress bar of a training run: losses, time left, and a fresh sample under it."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from contextlib import ExitStack
from types import TracebackType
from typing import Any

from tqdm import tqdm

SAMPLE_LINES = 2
MIN_PAUSE = 5.0  # seconds between two samples
MAX_SHARE = 0.02  # of the time, spent on writing samples


class TimedBar(tqdm):  # type: ignore[misc]  # tqdm has no types
    """A bar whose time left is that of a budget, if there is one."""

    seconds_left: float | None = None

    @property
    def format_dict(self) -> dict[str, Any]:
        """Values that tqdm formats the bar from."""
        values: dict[str, Any] = super().format_dict
        if self.seconds_left is not None and values["total"] > values["n"]:
            values["rate"] = (values["total"] - values["n"]) / max(1.0, self.seconds_left)
        return values


class ProgressBar:
    """A bar and sample lines on a terminal; elsewhere, only complete lines are printed.

    Args:
        steps: Updates of the whole run.
        done: Updates done before.
        clock: Seconds from any fixed moment.
        silent: Print nothing, since another process prints.
    """

    def __init__(self, steps: int, done: int, clock: Callable[[], float], silent: bool = False) -> None:
        self.clock, self.silent = clock, silent
        self.is_live = not silent and sys.stderr.isatty()
        self.bar = TimedBar(total=steps, initial=done, unit="step", disable=not self.is_live, dynamic_ncols=True)
        self.lines = [
            tqdm(bar_format="{desc}", position=1 + line, leave=False, disable=not self.is_live, dynamic_ncols=True)
            for line in range(SAMPLE_LINES)
        ]
        self._next_sample = 0.0

    def __enter__(self) -> ProgressBar:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with ExitStack() as stack:
            for bar in (self.bar, *self.lines):
                stack.callback(bar.close)

    @property
    def columns(self) -> int | None:
        """Width of the terminal that output goes to; None if it is not a terminal."""
        return shutil.get_terminal_size().columns if sys.stdout.isatty() and not self.silent else None

    def update(self, steps: int, seconds_left: float | None = None) -> None:
        """Count one more update.

        Args:
            steps: Updates of the whole run.
            seconds_left: Until the end of the time budget; None without one.
        """
        self.bar.total, self.bar.seconds_left = steps, seconds_left
        self.bar.update()

    def show_losses(self, train: float, best: float) -> None:
        """Show the latest training loss, and the best validation loss so far."""
        self.bar.set_postfix_str(f"train {train:.3f}" + (f", best {best:.3f}" if best < float("inf") else ""), False)

    def print(self, text: str) -> None:
        """Print text above the bar."""
        if not self.silent:
            tqdm.write(text)
            sys.stdout.flush()  # line by line into a pipe, too

    def show_sample(self, now: float, write: Callable[[], str]) -> None:
        """Show the first lines of a sample, if enough time has passed since the last one.

        Args:
            now: The clock.
            write: Writes the sample.
        """
        if not self.is_live or now < self._next_sample:
            return
        lines = [line for line in write().splitlines() if line.strip()]
        for bar, line in zip(self.lines, [*lines, "", ""], strict=False):
            bar.set_description_str(f"    {line}" if line else "")
        seconds = self.clock() - now
        self._next_sample = now + max(MIN_PAUSE, seconds / MAX_SHARE)
