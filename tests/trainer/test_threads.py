"""One CPU thread or all of them: measured, written into the plan, and repeated from there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.support.training_runs import Killed, same_weights, tiny
from trainer.config import TrainConfig
from trainer.plan import Plan, Revision, read_plan
from trainer.runtime import threads
from trainer.runtime.autoconfig import autoconfigure
from trainer.runtime.clock import RunClock
from trainer.runtime.run import Run, read_config
from trainer.runtime.threads import ThreadMonitor, faster_threads, time_threads
from trainer.train import resume, train

STEPS = 150


class Machine(RunClock):
    """Seconds on a machine on which several threads take half the time of one, or three times as long while it is busy.

    Args:
        busy: From which look at the clock on another program is busy, and until which.
        dies_at: The look at which the process is killed.
    """

    def __init__(self, busy: tuple[int, int], dies_at: int | None = None) -> None:
        self.looks, self.now, self.busy, self.dies_at = 0, 0.0, busy, dies_at
        super().__init__(self, lambda: 0.0)

    def __call__(self) -> float:
        self.looks += 1
        if self.looks == self.dies_at:
            raise Killed
        several = torch.get_num_threads() > 1
        self.now += (3.0 if self.busy[0] <= self.looks < self.busy[1] else 0.5) if several else 1.0
        return self.now


IDLE, BUSY = (0, 0), (0, 10**9)


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a run compare after a tenth of the steps: in these tests, too, other programs make two threads slow."""
    monkeypatch.setattr(threads, "MAX_SHARE", 0.2)


def two_threads(folder: Path) -> TrainConfig:
    return tiny(folder, threads=2)


def train_on(machine: Machine, config: TrainConfig, out: Path) -> Run:
    return train(config, out, Plan((Revision(0, STEPS, 3),)), clock=machine, max_threads=2)


@pytest.mark.parametrize(("busy", "count"), [(IDLE, 2), (BUSY, 1)])
def test_the_faster_number_of_threads_is_chosen_before_a_run_and_said(busy: tuple[int, int], count: int) -> None:
    options = {"preset": "tiny", "precision": "float32"}
    config, sentence = autoconfigure(options, "cpu", None, Machine(busy), max_threads=2)
    assert config.threads == count
    assert sentence == ("" if count == 2 else "One thread is faster than 2 now: another program is busy.")


def test_several_processes_and_a_repeated_run_keep_their_number_of_threads() -> None:
    options = {"preset": "tiny", "precision": "float32"}
    assert autoconfigure(options, "cpu", None, Machine(BUSY), max_threads=2, processes=2)[0].threads == 2
    assert autoconfigure(options | {"threads": 2}, "cpu", None, Machine(BUSY), max_threads=4)[0].threads == 2


def test_a_change_needs_a_clear_gain() -> None:
    assert faster_threads({1: 0.95, 2: 1.0}, 2) == 2
    assert faster_threads({1: 0.85, 2: 1.0}, 2) == 1
    assert faster_threads({1: 1.0, 2: 0.95}, 1) == 1


def test_numbers_of_threads_take_turns_and_one_disturbance_does_not_decide() -> None:
    used: list[int] = []
    seconds = iter([1.0] * 4 + [9.0] + [1.0] * 10)  # the third timed call, of one thread, was disturbed
    now = 0.0

    def clock() -> float:
        nonlocal now
        now += next(seconds)
        return now

    times = time_threads(lambda: used.append(torch.get_num_threads()), {1, 2}, clock)
    assert used[1:] == [1, 2, 1, 2, 1, 2]
    assert times == {1: 1.0, 2: 1.0}


def test_a_run_compares_again_when_steps_slow_down_and_while_one_thread_is_used() -> None:
    monitor = ThreadMonitor(2, iter([0.0, *[1000.0] * 20]).__next__)
    assert not any(monitor.is_due(now, 64, 2) for now in range(1, 200)), "it would take more than its share of the time"
    assert monitor.is_due(500, 64, 2), "once, since what was measured before the run may be wrong"
    model = torch.nn.Embedding(4, 4)
    monitor.compare(model, torch.zeros(1, 3, dtype=torch.long), torch.zeros(1, 3, dtype=torch.long), 2)
    assert not any(monitor.is_due(now, 64, 2) for now in range(1001, 1100))
    assert any(monitor.is_due(now, 64, 2) for now in range(1100, 1200, 2)), "steps take twice as long"
    assert monitor.is_due(1202, 64, 1), "all threads may be faster again"


@pytest.mark.slow
@pytest.mark.usefixtures("often")
def test_a_run_on_a_busy_machine_goes_on_with_one_thread_as_its_plan_says(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = two_threads(tmp_path)
    run = train_on(Machine((80, 10**9)), config, tmp_path / "busy")
    [first, second] = read_plan(run.plan).revisions
    assert (first.threads, second.threads, second.steps) == (0, 1, STEPS)
    assert "One thread is faster than 2 now" in capsys.readouterr().out
    repeated = train(config, tmp_path / "repeated", read_plan(run.plan))
    assert same_weights(run, repeated), "the plan alone decides"
    assert torch.get_num_threads() == 1


@pytest.mark.slow
@pytest.mark.usefixtures("often")
def test_all_threads_are_used_again_when_the_machine_is_idle(tmp_path: Path) -> None:
    run = train_on(Machine((0, 30)), replace(two_threads(tmp_path), threads=1), tmp_path / "run")
    assert [revision.threads for revision in read_plan(run.plan).revisions] == [0, 2]
    assert read_config(run)[0].threads == 1


@pytest.mark.slow
@pytest.mark.usefixtures("often")
def test_a_killed_run_whose_threads_changed_resumes_to_the_same_bits(tmp_path: Path) -> None:
    config = two_threads(tmp_path)
    whole = train_on(Machine((80, 10**9)), config, tmp_path / "whole")
    with pytest.raises(Killed):
        train_on(Machine((80, 10**9), dies_at=150), config, tmp_path / "killed")
    killed = Run(tmp_path / "killed")
    assert len(read_plan(killed.plan).revisions) == 2, "killed after the change"
    assert same_weights(whole, resume(killed.path))
