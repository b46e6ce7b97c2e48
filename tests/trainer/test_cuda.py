"""Training on a CUDA card, where there is one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.support.training_runs import same_weights, tiny
from trainer.checkpoint import read_checkpoint
from trainer.config import TrainConfig
from trainer.dataset import load_dataset
from trainer.loss import get_batch
from trainer.model import new_model
from trainer.plan import Plan, Revision
from trainer.runtime.clock import RunClock
from trainer.runtime.distributed import SINGLE_PROCESS
from trainer.runtime.gradients import RecordedGradients, compute_gradients, gradient_function
from trainer.runtime.run import Run, write_config
from trainer.runtime.state import start_state
from trainer.train import resume, run_loop, train

needs_card = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA card")


def gradients(model: torch.nn.Module) -> list[torch.Tensor]:
    return [parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None]


def config_for(folder: Path, **settings: object) -> TrainConfig:
    return tiny(folder, device="cuda", short_context=8, n_layer=2, n_embd=64, dropout=0.1, **settings)


@needs_card
@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_recorded_kernels_give_the_same_loss_and_gradients(tmp_path: Path, precision: str) -> None:
    config = config_for(tmp_path, precision=precision)
    dataset = load_dataset(config)
    model = new_model(dataset.model_config, dataset.key, config.dropout, precision).to("cuda")
    recorded = gradient_function(model, config)
    assert isinstance(recorded, RecordedGradients)
    for step in range(6):
        context = (16, 8)[step % 2]
        x, y = get_batch(dataset.train, dataset.key, step, config.batch_size, config.block_size, context)
        torch.manual_seed(step)
        loss = recorded(x, y).item()
        ours = gradients(model)
        torch.manual_seed(step)
        assert compute_gradients(model, x, y, config.grad_clip).item() == loss
        assert all(torch.equal(a, b) for a, b in zip(ours, gradients(model), strict=True))
    assert recorded.is_possible
    assert len(recorded.recordings) == 2


@needs_card
@pytest.mark.slow
@pytest.mark.parametrize("compiled", [False, True])
def test_a_run_on_a_card_that_was_stopped_and_resumed_ends_in_the_same_bits(tmp_path: Path, compiled: bool) -> None:
    config = config_for(tmp_path, precision="bf16", compile=compiled)
    plan = Plan((Revision(0, 60, 4),))
    whole = train(config, tmp_path / "whole", plan)
    dataset = load_dataset(config)
    run = Run(tmp_path / "stopped")
    run.path.mkdir()
    run.plan.write_bytes(whole.plan.read_bytes())
    write_config(run, config, {**dataset.corpus_record, "baselines": {}})
    run_loop(start_state(run, config, dataset, plan, SINGLE_PROCESS), plan, None, None, RunClock(), until=31)
    assert read_checkpoint(run.last).step == 31
    resume(run.path)
    assert same_weights(run, whole)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA card")
def test_where_kernels_cannot_be_recorded_they_are_started_one_by_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tiny(tmp_path)
    dataset = load_dataset(config)
    model = new_model(dataset.model_config, dataset.key)
    recorded = RecordedGradients(lambda x, y: compute_gradients(model, x, y, config.grad_clip), model)
    x, y = get_batch(dataset.train, dataset.key, 0, config.batch_size, config.block_size)
    loss, ours = recorded(x, y), gradients(model)
    assert torch.equal(loss, compute_gradients(model, x, y, config.grad_clip))
    assert all(torch.equal(a, b) for a, b in zip(ours, gradients(model), strict=True))
    recorded(x, y)
    assert capsys.readouterr().out.count("kernels are started one by one: ") == 1


def test_a_run_on_a_cpu_computes_its_gradients_without_recordings(tmp_path: Path) -> None:
    config = tiny(tmp_path)
    model = new_model(config.model(20), b"key")
    assert not isinstance(gradient_function(model, config), RecordedGradients)
