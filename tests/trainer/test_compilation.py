"""Runs whose model torch compiles, and runs where it cannot."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from tests.support.training_runs import PLAN, SMALL, Clock, RunCommand, same_weights, start_command, text_file, tiny
from tests.trainer.test_trainer_process import LONG, read_until
from trainer.checkpoint import read_resume
from trainer.config import TrainConfig
from trainer.dataset import load_dataset
from trainer.loss import get_batch, mean_loss
from trainer.model import new_model
from trainer.plan import write_plan
from trainer.runtime.budget import Budget, measure_timing
from trainer.runtime.clock import RunClock
from trainer.runtime.compilation import MIN_SECONDS, compile_model, compile_obstacle
from trainer.runtime.distributed import SINGLE_PROCESS
from trainer.runtime.run import Run, read_config
from trainer.train import resume, train

compiles = pytest.mark.skipif(compile_obstacle(TrainConfig()) != "", reason=compile_obstacle(TrainConfig()))


def gradients(model: torch.nn.Module) -> list[torch.Tensor]:
    return [parameter.grad for parameter in model.parameters() if parameter.grad is not None]


@pytest.mark.slow
@compiles
def test_a_compiled_model_has_the_same_loss_and_gradients(tmp_path: Path) -> None:
    config = tiny(tmp_path, short_context=8)
    dataset = load_dataset(config)
    model, eager = (new_model(dataset.model_config, dataset.key) for _ in range(2))
    compiled = compile_model(model, config, dataset)
    assert isinstance(compiled, torch._dynamo.OptimizedModule)
    assert not gradients(model)
    for context in (8, 16):
        x, y = get_batch(dataset.train, dataset.key, 1, 4, 16, context)
        losses = [mean_loss(either, x, y) for either in (compiled, eager)]
        for loss in losses:
            loss.backward()
        assert losses[0].item() == pytest.approx(losses[1].item(), rel=1e-6)
        for ours, theirs in zip(gradients(model), gradients(eager), strict=True):
            assert torch.allclose(ours, theirs, atol=1e-6)


@pytest.mark.slow
@compiles
def test_a_compiled_run_killed_with_force_and_resumed_ends_in_the_same_bits(tmp_path: Path) -> None:
    write_plan(tmp_path / "long.json", LONG)
    settings = ("--corpus", text_file(tmp_path), *SMALL, "--device", "cpu", "--dropout", "0.1", "--compile")
    with start_command("train", *settings, "--plan", "long.json", "--out", "run", cwd=tmp_path) as process:
        read_until(process, "step 60/")
        process.kill()
    killed = Run(tmp_path / "run")
    assert read_resume(killed.last)[0].step < 400
    config, _ = read_config(killed)
    assert config.compile
    whole = train(config, tmp_path / "whole", LONG)
    with start_command("train", "--resume", "run", cwd=tmp_path) as process:
        out, err = process.communicate()
    assert process.returncode == 0
    assert not err
    assert "not compiled" not in out
    assert same_weights(killed, whole)
    assert not list(tmp_path.rglob("*.cpp")), "what was compiled is kept elsewhere"


@pytest.mark.slow
@compiles
def test_a_run_with_enough_minutes_takes_the_faster_one_of_both_models(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tiny(tmp_path)
    budget = Budget(30, RunClock())
    timing = measure_timing(config, load_dataset(config), budget, SINGLE_PROCESS, may_compile=True)
    assert capsys.readouterr().out.startswith("compiled: " if timing.compiled else "not compiled: a step would take")


def test_a_run_with_few_minutes_is_not_compiled(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tiny(tmp_path)
    budget = Budget(MIN_SECONDS["cpu"] / 60, Clock())  # a second of which is for the end
    timing = measure_timing(config, load_dataset(config), budget, SINGLE_PROCESS, may_compile=True)
    assert not timing.compiled
    assert not capsys.readouterr().out


def test_a_run_that_cannot_be_compiled_says_so_once_and_is_written_as_such(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trainer: RunCommand
) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    where = ("--corpus", str(text_file(tmp_path)), "--device", "cpu", "--out", str(tmp_path / "run"))
    code, out, err = trainer("train", *SMALL, *where, "--steps", "4", "--compile")
    assert (code, err) == (0, "")
    assert out.count("not compiled: there is no C++ compiler (no-such-compiler)\n") == 1
    assert not read_config(Run(tmp_path / "run"))[0].compile


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("false") is None, reason="there is no program that always fails")
def test_a_compiler_that_fails_does_not_end_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "false")
    where = ("--corpus", text_file(tmp_path), "--device", "cpu", "--out", "run")
    with start_command("train", *SMALL, *where, "--steps", "4", "--compile", cwd=tmp_path) as process:
        out, err = process.communicate()
    assert (process.returncode, err) == (0, "")
    assert out.count("not compiled: ") == 1
    assert not read_config(Run(tmp_path / "run"))[0].compile


def test_a_compiled_run_resumed_without_a_compiler_says_what_that_means(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    run = train(tiny(tmp_path), tmp_path / "run", PLAN)
    config = json.loads(run.config.read_text())
    config["train"]["compile"] = True
    run.config.write_text(json.dumps(config))
    run.last.unlink()
    capsys.readouterr()
    resume(run.path)
    said = capsys.readouterr().out
    assert "(no-such-compiler). The rest of the run will not be bit for bit the same\n" in said
    assert read_resume(run.last)[0].step == PLAN.steps


@pytest.mark.parametrize("changes", [{"device": "mps"}, {"device": "cuda", "processes": 2}, {"processes": 2}])
def test_what_several_processes_train_is_not_compiled_nor_anything_on_mps(changes: dict[str, object]) -> None:
    assert compile_obstacle(TrainConfig(**changes)) != ""
