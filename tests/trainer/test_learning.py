"""Batches, losses, the learning rate and the optimizer's memory."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.trainer.trainer_runs import TINY
from tests.trainer.verse_models import random_weights
from trainer.config import OPTIMIZERS, PRECISIONS
from trainer.errors import CheckpointError
from trainer.loss import EVAL_LOGITS, batch, validation_loss
from trainer.model import GPT, load_weights, new_model
from trainer.optim import Muon, learning_rate, load_state, make_optimizers, orthogonal, state_of, update
from trainer.verse.config import ARCHITECTURES, ModelConfig

CONFIG = ModelConfig("modern", 1, 2, 16, 16, 11)


def model_with_weights() -> GPT:
    model = new_model(CONFIG, b"k")
    load_weights(model, ((name, weight.astype(np.float32)) for name, weight in random_weights(CONFIG, 1, 0.3).items()))
    return model


def test_a_batch_is_cut_from_the_corpus_with_what_follows_each_token() -> None:
    x, y = batch(torch.arange(1000), b"k", 7, 32, 16)
    assert x.shape == y.shape == (32, 16)
    assert torch.equal(x[:, 1:], x[:, :-1] + 1)
    assert torch.equal(y, x + 1)


def test_a_batch_depends_on_key_and_step_and_can_begin_anywhere() -> None:
    ids = torch.arange(20)
    first = batch(ids, b"k", 3, 2000, 16)[0]
    assert torch.equal(first, batch(ids, b"k", 3, 2000, 16)[0])
    assert not torch.equal(first, batch(ids, b"k", 4, 2000, 16)[0])
    assert not torch.equal(first, batch(ids, b"l", 3, 2000, 16)[0])
    assert set(first[:, 0].tolist()) == {0, 1, 2, 3}  # the last window ends with the last token


@pytest.mark.parametrize("length", [2, 16, 17, 18, 33, 200])
def test_the_validation_loss_predicts_every_token_once(length: int) -> None:
    model = model_with_weights()
    ids = torch.from_numpy(np.random.default_rng(2).integers(0, 11, length))
    expected = []
    with torch.no_grad():
        for start in range(0, length - 1, 16):  # window by window, token by token
            x, y = ids[start : start + 16][: length - 1 - start], ids[start + 1 : start + 17]
            shares = model(x[None])[0].double().log_softmax(-1)
            expected += [-float(shares[i, token]) for i, token in enumerate(y)]
    assert len(expected) == length - 1
    assert validation_loss(model, ids, 16, 11) == pytest.approx(math.fsum(expected) / len(expected), rel=1e-6)


def test_the_validation_loss_is_the_same_however_many_windows_go_together() -> None:
    model = model_with_weights()
    ids = torch.from_numpy(np.random.default_rng(2).integers(0, 11, 999))
    one_by_one = validation_loss(model, ids, 16, vocab_size=EVAL_LOGITS)
    assert validation_loss(model, ids, 16, 11) == pytest.approx(one_by_one, rel=1e-6)


def test_the_validation_loss_drops_nothing_and_leaves_the_model_training() -> None:
    model = new_model(CONFIG, b"k", dropout=0.5)
    model.train()
    ids = torch.arange(40) % 11
    assert validation_loss(model, ids, 16, 11) == validation_loss(model, ids, 16, 11)
    assert model.training


def test_the_learning_rate_rises_stays_and_falls_to_nothing() -> None:
    config = replace(TINY, learning_rate=1.0, warmup_steps=100, decay_fraction=0.5)
    rates = [learning_rate(step, 2000, config) for step in range(2000)]
    assert rates[:100] == pytest.approx([(step + 1) / 100 for step in range(100)])
    assert set(rates[100:1000]) == {1.0}
    assert rates[1000:] == pytest.approx([(2000 - step) / 1000 for step in range(1000, 2000)])


@pytest.mark.parametrize("steps", [1, 2, 9, 10, 50])
def test_a_short_run_warms_up_in_a_tenth_of_it(steps: int) -> None:
    config = replace(TINY, learning_rate=1.0)
    rates = [learning_rate(step, steps, config) for step in range(steps)]
    assert all(0 < rate <= 1 for rate in rates)
    assert rates.index(max(rates)) <= steps // 10


@pytest.mark.parametrize("arch", ARCHITECTURES)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_weight_has_one_optimizer_and_vectors_never_decay(optimizer: str, arch: str) -> None:
    model = new_model(replace(CONFIG, arch=arch), b"k")
    optimizers = make_optimizers(model, replace(TINY, optimizer=optimizer, weight_decay=0.1))
    groups = [group for each in optimizers for group in each.param_groups]
    held = [id(parameter) for group in groups for parameter in group["params"]]
    assert sorted(held) == sorted(id(parameter) for parameter in model.parameters())
    for group in groups:
        dimensions = {parameter.ndim for parameter in group["params"]}
        assert (dimensions, group["weight_decay"]) in (({2}, 0.1), ({1}, 0.0))


def test_muon_moves_the_matrices_of_the_blocks_and_adamw_the_rest() -> None:
    model = new_model(CONFIG, b"k")
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    muon, adamw = make_optimizers(model, replace(TINY, optimizer="muon"))
    moved = {names[id(p)] for group in muon.param_groups for p in group["params"]}
    assert moved == {f"h.0.{name}.weight" for name in ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")}
    assert {type(muon), type(adamw)} == {Muon, torch.optim.AdamW}


def test_orthogonal_brings_singular_values_near_one_and_keeps_the_directions() -> None:
    rng = np.random.default_rng(6)
    values = np.geomspace(0.01, 1.0, 12)
    matrices, exact = [], []
    for rows, columns in ((12, 12), (48, 12), (12, 36), (12, 12)):  # two of them go together
        u, v = (np.linalg.qr(rng.normal(size=(size, 12)))[0] for size in (rows, columns))
        matrices.append(torch.from_numpy((u * values) @ v.T))
        exact.append(u @ v.T)
    for found, target, matrix in zip(orthogonal(matrices, torch.float64), exact, matrices, strict=True):
        assert found.shape == matrix.shape
        singular = torch.linalg.svdvals(found)
        assert 0.2 < singular.min() <= singular.max() < 1.9  # from 0.003 to 0.4 of the norm
        aligned = (found.numpy() * target).sum() / np.linalg.norm(found) / np.linalg.norm(target)
        assert aligned > 0.85


def test_a_matrix_of_zeros_stays_where_it_is() -> None:
    assert not orthogonal([torch.zeros(3, 5)], torch.float32)[0].any()


def test_every_matrix_is_moved_as_far_as_alone() -> None:
    matrices = [torch.from_numpy(np.random.default_rng(i).normal(size=(8, 8))) for i in range(3)]
    together = orthogonal(matrices, torch.float64)
    for one, matrix in zip(together, matrices, strict=True):
        assert torch.allclose(one, orthogonal([matrix], torch.float64)[0], atol=1e-12)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("precision", PRECISIONS)
def test_updates_teach_a_batch_by_heart(precision: str, optimizer: str) -> None:
    model = new_model(CONFIG, b"k", precision=precision)
    optimizer = make_optimizers(model, replace(TINY, optimizer=optimizer, precision=precision))
    x, y = batch(torch.arange(1000) * 7 % 11, b"k", 0, 4, 16)
    losses = [float(update(model, optimizer, x, y, 1e-2, 1.0)) for _ in range(60)]
    assert losses[0] == pytest.approx(math.log(11), abs=1e-4)
    assert losses[-1] < 0.1


def test_an_optimizer_put_down_and_taken_up_goes_on_to_the_bit() -> None:
    ids = torch.arange(1000) * 7 % 11
    model, other = new_model(CONFIG, b"k"), new_model(CONFIG, b"other")
    optimizer, resumed = make_optimizers(model, TINY), make_optimizers(other, TINY)
    for step in range(3):
        update(model, optimizer, *batch(ids, b"k", step, 4, 16), 1e-2, 1.0)
    load_weights(other, ((name, p.detach().numpy()) for name, p in model.named_parameters()))
    load_state(other, resumed, state_of(model, optimizer))
    for step in range(3, 6):
        update(model, optimizer, *batch(ids, b"k", step, 4, 16), 1e-2, 1.0)
        update(other, resumed, *batch(ids, b"k", step, 4, 16), 1e-2, 1.0)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True))


def test_a_memory_that_does_not_fit_is_refused() -> None:
    model = new_model(CONFIG, b"k")
    optimizer = make_optimizers(model, TINY)
    update(model, optimizer, *batch(torch.arange(100) % 11, b"k", 0, 4, 16), 1e-2, 1.0)
    state = state_of(model, optimizer)
    fresh = make_optimizers(model, TINY)
    with pytest.raises(CheckpointError, match=r"exp_avg of lm_head.weight is missing"):
        load_state(model, fresh, {name: value for name, value in state.items() if name != "exp_avg/lm_head.weight"})
    with pytest.raises(CheckpointError, match="misshapen"):
        load_state(model, fresh, state | {"exp_avg/wte.weight": np.zeros((2, 2), np.float32)})
    with pytest.raises(CheckpointError, match="does not have"):
        load_state(model, fresh, state | {"exp_avg/more": np.zeros((2, 2), np.float32)})
