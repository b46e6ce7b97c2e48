"""What a terminal shows while a model trains: a bar with losses and the time left, and under it a fresh verse."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from contextlib import ExitStack
from types import TracebackType
from typing import Any

from tqdm import tqdm

VERSE_LINES = 2
PAUSE = 5.0  # seconds between two verses, at least
SHARE = 0.02  # of the time, spent on writing them, at most


class Bar(tqdm):  # type: ignore[misc]  # tqdm has no types
    """How far a run is. Where it has a time to keep, the time left is what is left of that."""

    left: float | None = None  # seconds

    @property
    def format_dict(self) -> dict[str, Any]:
        """What the bar is made of."""
        known: dict[str, Any] = super().format_dict
        if self.left is not None and known["total"] > known["n"]:
            known["rate"] = (known["total"] - known["n"]) / max(1.0, self.left)
        return known


class Screen:
    """Where output is no terminal, only whole lines that stay are written.

    Args:
        steps: updates of the whole run.
        done: updates before this.
        clock: seconds from any fixed moment.
        silent: show nothing: another process talks.
    """

    def __init__(self, steps: int, done: int, clock: Callable[[], float], silent: bool = False) -> None:
        self.clock, self.silent = clock, silent
        self.live = not silent and sys.stderr.isatty()
        self.bar = Bar(total=steps, initial=done, unit="step", disable=not self.live, dynamic_ncols=True)
        self.lines = [
            tqdm(bar_format="{desc}", position=1 + line, leave=False, disable=not self.live, dynamic_ncols=True)
            for line in range(VERSE_LINES)
        ]
        self._next_verse = 0.0

    def __enter__(self) -> Screen:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with ExitStack() as stack:
            for bar in (self.bar, *self.lines):
                stack.callback(bar.close)

    @property
    def columns(self) -> int | None:
        """Of the terminal that output goes to; None where there is none."""
        return shutil.get_terminal_size().columns if sys.stdout.isatty() and not self.silent else None

    def step(self, steps: int, left: float | None = None) -> None:
        """One more update, of so many.

        Args:
            left: seconds until the end, where that is fixed.
        """
        self.bar.total, self.bar.left = steps, left
        self.bar.update()

    def losses(self, train: float, best: float) -> None:
        """The latest training loss, and the best validation loss so far."""
        self.bar.set_postfix_str(f"train {train:.3f}" + (f", best {best:.3f}" if best < float("inf") else ""), False)

    def say(self, text: str) -> None:
        """A line that stays."""
        if not self.silent:
            tqdm.write(text)
            sys.stdout.flush()  # into a pipe, too, line by line

    def verse(self, now: float, write: Callable[[], str]) -> None:
        """If it is time for one, show the first lines of what `write` gives."""
        if not self.live or now < self._next_verse:
            return
        lines = [line for line in write().splitlines() if line.strip()]
        for bar, line in zip(self.lines, [*lines, "", ""], strict=False):
            bar.set_description_str(f"    {line}" if line else "")
        taken = self.clock() - now
        self._next_verse = now + max(PAUSE, taken / SHARE)
