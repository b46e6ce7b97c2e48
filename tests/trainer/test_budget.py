"""What is measured before a run, from which its first plan is made."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.support.training_runs import tiny
from trainer.dataset import load_dataset
from trainer.runtime.budget import Budget, measure_steps
from trainer.runtime.clock import RunClock
from trainer.runtime.distributed import SINGLE_PROCESS


@pytest.mark.parametrize("slow", [(), (1, 2), (3,), (4,), (3, 4)])
def test_a_slow_moment_before_a_run_changes_no_ratio_of_its_steps(slow: tuple[int, ...], tmp_path: Path) -> None:
    """Steps 1 and 2 load kernels; 3 and 4 are the first that count, one of each context."""
    config, now, calls = tiny(tmp_path, short_context=8), 0.0, 0

    def step(x: Tensor, y: Tensor) -> Tensor:
        nonlocal now, calls
        calls += 1
        now += (0.02 if x.shape[1] == 16 else 0.01) * (2 if calls in slow else 1)
        return torch.zeros(())

    budget = Budget(10, RunClock(lambda: now, lambda: 0.0))
    full, costs = measure_steps(step, [], config, load_dataset(config), budget, SINGLE_PROCESS)
    assert full == pytest.approx(0.02)
    assert costs == ((0.0, pytest.approx(0.5)), (0.5, 1.0))
    assert now < 0.35, "whoever watches waits for the first step"
