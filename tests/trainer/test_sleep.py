"""Computers that sleep in the middle of a run, and processes that are stopped for a while."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from tests.support.training_runs import PLAN, SMALL, Clock, text_file, tiny
from trainer.plan import read_plan
from trainer.runtime.budget import CLOSING_SECONDS
from trainer.runtime.clock import MIN_SLEEP, RunClock, suspended_seconds
from trainer.runtime.run import read_metrics
from trainer.train import train


class Machine:
    """Two clocks of one computer, moved by hand: one stands still while it sleeps."""

    def __init__(self) -> None:
        self.awake = self.asleep = 0.0

    def clock(self) -> RunClock:
        return RunClock(lambda: self.awake, lambda: self.asleep)


def pause(seconds: float, looks: int) -> Clock:
    """A clock that goes on by so much more at one look, as if the process had been stopped before it."""
    return Clock({looks: lambda clock: setattr(clock, "now", clock.now + seconds)})


def test_sleep_that_the_system_tells_is_no_time_of_the_run() -> None:
    machine = Machine()
    clock = machine.clock()
    machine.awake, machine.asleep = 5.0, 600.0  # before the first step
    assert clock.lap("step") == 5.0
    assert clock.take_sleep() == 600.0
    assert clock.take_sleep() == 0.0
    machine.awake, machine.asleep = 6.0, 700.0
    assert clock.lap("step") == 6.0
    assert clock.take_sleep() == 100.0


def test_short_sleeps_are_told_once_they_add_up() -> None:
    machine = Machine()
    clock = machine.clock()
    told = []
    for _ in range(4):
        machine.asleep += 0.4 * MIN_SLEEP
        told.append(clock.take_sleep())
    assert told == pytest.approx([0.0, 0.0, 1.2 * MIN_SLEEP, 0.0])


def test_a_pause_far_longer_than_a_step_is_sleep() -> None:
    machine = Machine()
    clock = machine.clock()
    for _ in range(10):
        machine.awake += 2.0
        clock.lap("step")
    machine.awake += 600.0
    assert clock.lap("step") == pytest.approx(22.0)  # it took as long as the others
    assert clock.take_sleep() == pytest.approx(598.0)


def test_a_pause_in_the_first_piece_of_work_is_sleep_if_its_time_was_measured_before() -> None:
    machine = Machine()
    clock = machine.clock()
    clock.expect("evaluation", 2.0)
    machine.awake += 100.0
    assert clock.lap("evaluation") == pytest.approx(2.0)
    assert clock.take_sleep() == pytest.approx(98.0)


def test_slow_work_is_not_sleep() -> None:
    machine = Machine()
    clock = machine.clock()
    machine.awake += 100.0  # the first step loads kernels
    clock.lap("step")
    for _ in range(10):
        machine.awake += 2.0
        clock.lap("step")
    machine.awake += 90.0  # an evaluation
    clock.lap("evaluation")
    machine.awake += 90.0
    clock.lap("evaluation")
    machine.awake += 25.0  # another program
    assert clock.lap("step") == machine.awake
    assert clock.take_sleep() == 0.0


def test_the_system_s_clocks_give_a_time_that_does_not_grow_while_it_is_awake() -> None:
    before = suspended_seconds()
    time.sleep(0.05)
    assert abs(suspended_seconds() - before) < 0.04


def test_after_a_short_sleep_a_run_still_ends_when_it_was_to_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = pause(35.0, looks=40)
    run = train(tiny(tmp_path), tmp_path / "run", minutes=2, clock=clock)
    assert clock.now == pytest.approx(120 - CLOSING_SECONDS, rel=0.05)
    plan = read_plan(run.plan)
    assert plan.steps < plan.revisions[0].steps - 25  # a step is a second, and so is an evaluation
    told = re.findall(r"^the computer slept for .*$", capsys.readouterr().out, re.MULTILINE)
    assert len(told) == 1
    assert re.search(r"slept for 35 seconds: the run still ends at about \d\d:\d\d:\d\d, with fewer steps", told[0])


def test_after_a_long_sleep_a_run_ends_later_with_all_its_steps_and_says_when(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    undisturbed = train(tiny(tmp_path), tmp_path / "undisturbed", minutes=2, clock=Clock())
    assert "slept" not in capsys.readouterr().out
    clock = pause(3600.0, looks=40)
    run = train(tiny(tmp_path), tmp_path / "run", minutes=2, clock=clock)
    assert read_plan(run.plan) == read_plan(undisturbed.plan)
    assert clock.now == pytest.approx(3600 + 120 - CLOSING_SECONDS, rel=0.05)
    told = re.findall(r"^the computer slept for .*$", capsys.readouterr().out, re.MULTILINE)
    assert len(told) == 1
    ends, was = re.search(r"slept for 60 minutes: the run ends at about (\S+) instead of (\S+)$", told[0]).groups()  # type: ignore[union-attr]
    minutes = [int(time[:2]) * 60 + int(time[3:]) for time in (ends, was)]
    assert (minutes[0] - minutes[1]) % (24 * 60) in (59, 60)


def test_a_run_in_steps_records_the_time_it_was_awake(tmp_path: Path) -> None:
    run = train(tiny(tmp_path), tmp_path / "run", PLAN, clock=pause(3600.0, looks=9))
    assert read_metrics(run)[-1]["seconds"] < 60


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signal that stops a process")
def test_a_real_run_that_was_stopped_says_what_becomes_of_its_end(tmp_path: Path) -> None:
    arguments = ("--corpus", text_file(tmp_path), *SMALL, "--device", "cpu", "--minutes", "2", "--out", "run")
    metrics = tmp_path / "run" / "metrics.jsonl"
    program = "from trainer.runtime import clock; clock.MIN_SLEEP = 3.0; from trainer.cli import main; main()"
    start = partial(subprocess.Popen, cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    with start([sys.executable, "-c", program, "train", *map(str, arguments)]) as process:
        assert process.stdout is not None
        while not metrics.exists() or metrics.read_text().count("\n") < 8:  # beyond the first evaluation
            assert process.poll() is None
            time.sleep(0.1)
        process.send_signal(signal.SIGSTOP)
        time.sleep(6)
        process.send_signal(signal.SIGCONT)
        told = next((line for line in process.stdout if "slept" in line), "")
        process.kill()
    assert re.match(r"the computer slept for \d seconds: the run (still )?ends at about \d\d:\d\d:\d\d", told)
