"""Really tiny runs for the trainer's tests: seconds, not minutes, and nothing in them is pretended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from trainer.checkpoint import read_checkpoint, read_resume
from trainer.config import TrainConfig
from trainer.corpus import load_corpus
from trainer.loss import mean_loss
from trainer.optim import Optimizer
from trainer.plan import Plan, Revision
from trainer.runtime.clock import RunClock
from trainer.runtime.run import Run

RunCommand = Callable[..., tuple[int, str, str]]  # the command, called: exit code, output, errors

TINY = TrainConfig(n_layer=1, n_head=2, n_embd=16, block_size=16, batch_size=4, learning_rate=4e-2, threads=1)
SMALL = ("--n-layer", "1", "--n-head", "2", "--n-embd", "16", "--block-size", "16", "--batch-size", "4")  # as options
SMALLEST = ["--preset", "small", "--n-layer", "1", "--n-embd", "32", "--n-head", "1"]
PLAN = Plan((Revision(0, 12, 3),))  # records each step, evaluates at 4, 8 and 12


class Killed(BaseException):
    """The process is gone, as far as the run can tell: nothing may catch this."""


class Clock(RunClock):
    """Seconds that pass evenly, some at each look. At given looks something happens, done to the clock or by it."""

    def __init__(self, happens: Mapping[int, Callable[[Clock], object]] | None = None, seconds: float = 1.0) -> None:
        self.looks, self.now, self.seconds, self.happens = 0, 0.0, seconds, happens or {}
        super().__init__(self, lambda: 0.0)

    def __call__(self) -> float:
        self.looks += 1
        self.happens.get(self.looks, lambda _: None)(self)
        self.now += self.seconds
        return self.now


def die(_: Clock) -> None:
    raise Killed


def ctrl_c(_: Clock) -> None:
    signal.raise_signal(signal.SIGINT)


def slow_down(clock: Clock) -> None:
    clock.seconds = 2.0


def text_file(folder: Path, characters: int = 3000) -> Path:
    """The folio's beginning, as a file of one's own."""
    path = folder / "own.txt"
    path.write_bytes(load_corpus("folio").text[:characters].encode())
    return path


def tiny(folder: Path, **changes: Any) -> TrainConfig:
    """A tiny config on a short corpus in that folder."""
    return replace(TINY, corpus=str(text_file(folder)), **changes)


def same_weights(a: Run, b: Run, name: str = "last") -> bool:
    """Whether two runs ended in the same bits: weights, and for the last checkpoint the optimizer, too."""
    paths = [getattr(run, name) for run in (a, b)]
    left, right = (read_checkpoint(path) for path in paths)
    pairs = [(left.weights, right.weights)]
    if name == "last":
        pairs.append((read_resume(paths[0])[1].optimizer, read_resume(paths[1])[1].optimizer))
    return left.step == right.step and all(
        x.keys() == y.keys() and all(np.array_equal(x[key], y[key]) for key in x) for x, y in pairs
    )


def command(*arguments: str | Path) -> list[str]:
    """The `trainer` command with this Python."""
    return [sys.executable, "-c", "from trainer.cli import main; main()", *map(str, arguments)]


def start_command(*arguments: str | Path, **options: Any) -> subprocess.Popen[str]:
    """Start it, with one thread, its output in pipes."""
    return subprocess.Popen(
        command(*arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        **options,
    )


def train_step(
    model: nn.Module, optimizers: Sequence[Optimizer], x: Tensor, y: Tensor, rate: float, max_norm: float, count: int
) -> Tensor:
    """The step that `trainer.train` spells out; returns the loss."""
    model.zero_grad(set_to_none=True)
    loss = mean_loss(model, x, y)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm)
    for optimizer in optimizers:
        optimizer.step(rate, count)
    return loss.detach()
