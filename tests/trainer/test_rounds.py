"""Further rounds of a finished run: from its weights, by a plan that tells all rounds, exactly repeatable."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.training_runs import (
    PLAN,
    SMALL,
    Clock,
    Killed,
    RunCommand,
    ctrl_c,
    die,
    same_weights,
    slow_down,
    text_file,
    tiny,
)
from trainer.checkpoint import read_checkpoint, read_resume
from trainer.config import MAX_STEPS
from trainer.errors import Interrupted, PlanError, RunError
from trainer.plan import Plan, Revision, plan_for_steps, read_plan
from trainer.runtime.budget import CLOSING_SECONDS
from trainer.runtime.run import Run, read_metrics
from trainer.train import resume, train

pytestmark = pytest.mark.slow  # each trains several runs

FURTHER = Plan((Revision(0, 8, 2),))
BOTH = Plan((*PLAN.revisions, Revision(12, 20, 2)))  # evaluates at 4, 8, 12, 16 and 20
LOOKS = 2 + 8 + 2  # at the clock, by a further round: two to begin with, one a step, one an evaluation
SETTINGS: dict[str, Any] = {"dropout": 0.2, "short_context": 8}


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished run of one round."""
    folder = tmp_path_factory.mktemp("first")
    return train(tiny(folder, **SETTINGS), folder / "run", PLAN)


@pytest.fixture(scope="module")
def both(first: Run, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The same run after a further round."""
    folder = tmp_path_factory.mktemp("both") / "run"
    shutil.copytree(first.path, folder)
    return resume(folder, further=FURTHER)


def copied(run: Run, folder: Path) -> Path:
    return Path(shutil.copytree(run.path, folder / "run"))


def losses(run: Run) -> list[tuple[int, float, float | None]]:
    return [(line["step"], line["train_loss"], line.get("val_loss")) for line in read_metrics(run)]


def test_a_finished_run_goes_on_from_its_weights_with_a_schedule_of_its_own(first: Run, both: Run) -> None:
    assert read_plan(both.plan) == BOTH
    assert read_checkpoint(both.last).step == 20
    lines = read_metrics(both)
    assert losses(both)[:12] == losses(first)
    assert [line["step"] for line in lines] == list(range(1, 21))
    assert [line["step"] for line in lines if "val_loss" in line] == [4, 8, 12, 16, 20]
    assert lines[12]["train_loss"] < lines[0]["train_loss"]  # the weights are those of the first round
    rates = [line["learning_rate"] for line in lines]
    assert max(rates[12:]) == max(rates[:12]) > 2 * rates[11]
    assert rates[-1] < max(rates) / 2
    assert [line["context"] for line in lines[12:]] == [8] * 4 + [16] * 4
    assert [line["seconds"] for line in lines] == sorted(line["seconds"] for line in lines)


def test_the_record_of_the_training_tells_both_rounds(both: Run) -> None:
    told = read_checkpoint(both.last).provenance
    assert told["steps"] == 20
    assert Plan.from_dict(told["plan"]) == BOTH
    assert [point[0] for point in told["loss_curve"]] == [4, 8, 12, 16, 20]


def test_the_plan_of_both_rounds_repeats_the_whole(both: Run, tmp_path: Path) -> None:
    again = train(tiny(tmp_path, **SETTINGS), tmp_path / "again", read_plan(both.plan))
    assert same_weights(again, both) and same_weights(again, both, "best")
    assert losses(again) == losses(both)
    assert again.samples.read_bytes() == both.samples.read_bytes()


@pytest.mark.parametrize("look", range(2, LOOKS + 1, 3))
def test_a_further_round_killed_anywhere_and_resumed_ends_in_the_same_bits(
    look: int, first: Run, both: Run, tmp_path: Path
) -> None:
    folder = copied(first, tmp_path)
    with pytest.raises(Killed):
        resume(folder, further=FURTHER, clock=Clock({look: die}))
    run = resume(folder)
    assert read_plan(run.plan) == BOTH
    assert same_weights(run, both) and same_weights(run, both, "best")
    assert losses(run) == losses(both)
    assert run.samples.read_bytes() == both.samples.read_bytes()


def test_ctrl_c_in_a_further_round_saves_it(first: Run, both: Run, tmp_path: Path) -> None:
    folder = copied(first, tmp_path)
    with pytest.raises(Interrupted, match="stopped after step 15, and saved"):
        resume(folder, further=FURTHER, clock=Clock({5: ctrl_c}))
    assert same_weights(resume(folder), both)


def test_a_third_round_follows_the_second(both: Run, tmp_path: Path) -> None:
    run = resume(copied(both, tmp_path), further=plan_for_steps(3))
    assert read_plan(run.plan).round_starts == (0, 12, 20)
    again = train(tiny(tmp_path, **SETTINGS), tmp_path / "again", read_plan(run.plan))
    assert same_weights(again, run)


def test_the_minutes_of_a_further_round_become_steps_that_the_clock_revises(first: Run, tmp_path: Path) -> None:
    clock = Clock({60: slow_down})
    run = resume(copied(first, tmp_path), minutes=2, clock=clock)
    plan = read_plan(run.plan)
    assert plan.round_starts == (0, 12)
    assert len(plan.revisions) > 2
    assert read_checkpoint(run.last).step == plan.steps
    assert clock.now == pytest.approx(120 - CLOSING_SECONDS, rel=0.05)
    again = train(tiny(tmp_path, **SETTINGS), tmp_path / "again", plan)
    assert same_weights(again, run) and same_weights(again, run, "best")


def test_a_run_that_has_steps_left_gets_no_further_round_before_its_end(tmp_path: Path) -> None:
    with pytest.raises(Killed):
        train(tiny(tmp_path), tmp_path / "run", PLAN, clock=Clock({9: die}))
    with pytest.raises(RunError, match=r"is at step 4 of 12: finish it first with trainer train --resume .*run, then"):
        resume(tmp_path / "run", further=FURTHER)
    assert read_plan(tmp_path / "run") == PLAN
    resume(tmp_path / "run")
    assert read_plan(resume(tmp_path / "run", further=FURTHER).plan) == BOTH


def test_a_run_that_was_ended_early_can_go_on(tmp_path: Path) -> None:
    config = tiny(tmp_path, n_embd=64, learning_rate=1e-2)
    text_file(tmp_path, characters=400)
    early = train(config, tmp_path / "run", Plan((Revision(0, 400, 20),)))
    steps = read_plan(early.plan).steps
    assert steps < 400
    run = resume(early.path, further=Plan((Revision(0, 10, 5),)))
    assert read_plan(run.plan).steps == read_checkpoint(run.last).step == steps + 10
    again = train(replace(config, early_stop=False), tmp_path / "again", read_plan(run.plan))
    assert same_weights(again, run)


def test_a_run_has_a_most_number_of_steps_in_all_its_rounds(first: Run, tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="at most 10,000,000 steps, and this one has 12 already"):
        resume(copied(first, tmp_path), further=plan_for_steps(MAX_STEPS))


def test_the_command_trains_a_run_further_and_says_so(trainer: RunCommand, tmp_path: Path) -> None:
    assert trainer("train", "--corpus", text_file(tmp_path), *SMALL, "--steps", "6", "--out", "mine")[0] == 0
    code, out, err = trainer("train", "--resume", "mine", "--steps", "4")
    assert (code, err) == (0, "")
    assert "10 steps in 2 rounds of" in out
    assert "round 2 begins after step 6\n" in out
    assert "10 of 10 steps in 2 rounds" in trainer("info", "mine")[1]
    code, out, err = trainer("train", "--resume", "mine", "--minutes", "0.06")
    assert (code, err) == (0, "")
    assert "in 3 rounds" in out
    assert trainer("train", "--plan", "mine", "--out", "again")[0] == 0
    assert same_weights(Run(tmp_path / "again"), Run(tmp_path / "mine"))
    assert trainer("plot", "mine", "--out", "curve.png")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--minutes", "1", "--steps", "5"), "only one of --minutes, --steps and --plan"),
        (("--steps", "0"), "--steps must be"),
        (("--minutes", "0"), "--minutes must be"),
        (("--steps", "5", "--learning-rate", "0.1"), "leave out --learning-rate"),
        (("--steps", "5", "--out", "other"), "the folder of the run: leave out --out"),
    ],
)
def test_a_further_round_takes_no_other_options(
    arguments: tuple[str, ...], says: str, trainer: RunCommand, first: Run, tmp_path: Path
) -> None:
    folder = copied(first, tmp_path)
    code, _, err = trainer("train", "--resume", folder, *arguments)
    assert (code, err.count("\n")) == (1, 1)
    assert says in err
    assert read_resume(folder / "last.safetensors")[1].plan == read_plan(folder) == PLAN
