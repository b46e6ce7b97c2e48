"""Batches, losses, the learning rate and the optimizer's memory."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.trainer.trainer_runs import TINY
from tests.trainer.verse_models import random_weights
from trainer.errors import CheckpointError
from trainer.loss import EVAL_LOGITS, batch, validation_loss
from trainer.model import GPT, load_weights, new_model
from trainer.optim import learning_rate, load_state, make_optimizer, state_of, update
from trainer.verse.config import ModelConfig

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


def test_the_learning_rate_rises_then_falls_to_its_rest() -> None:
    config = replace(TINY, learning_rate=1.0, warmup_steps=100, final_fraction=0.03)
    rates = [learning_rate(step, 2000, config) for step in range(2000)]
    assert max(rates) == rates[99] == 1.0
    assert rates[:100] == sorted(rates[:100])
    assert rates[100:] == sorted(rates[100:], reverse=True)
    assert rates[-1] == pytest.approx(0.03, abs=1e-3)
    assert rates[0] == pytest.approx(0.01)


@pytest.mark.parametrize("steps", [1, 2, 9, 10, 50])
def test_a_short_run_warms_up_in_a_tenth_of_it(steps: int) -> None:
    config = replace(TINY, learning_rate=1.0)
    rates = [learning_rate(step, steps, config) for step in range(steps)]
    assert all(0 < rate <= 1 for rate in rates)
    assert rates.index(max(rates)) <= steps // 10


def test_matrices_decay_and_vectors_do_not() -> None:
    model = new_model(CONFIG, b"k")
    matrices, vectors = make_optimizer(model, TINY).param_groups
    assert {p.ndim for p in matrices["params"]} == {2}
    assert {p.ndim for p in vectors["params"]} == {1}
    assert (matrices["weight_decay"], vectors["weight_decay"]) == (0.1, 0.0)
    assert len(matrices["params"]) + len(vectors["params"]) == len(CONFIG.tensor_shapes())


def test_updates_teach_a_batch_by_heart() -> None:
    model = new_model(CONFIG, b"k")
    optimizer = make_optimizer(model, TINY)
    x, y = batch(torch.arange(1000) * 7 % 11, b"k", 0, 4, 16)
    losses = [float(update(model, optimizer, x, y, 1e-2, 1.0)) for _ in range(60)]
    assert losses[0] == pytest.approx(math.log(11), abs=1e-4)
    assert losses[-1] < 0.1


def test_an_optimizer_put_down_and_taken_up_goes_on_to_the_bit() -> None:
    ids = torch.arange(1000) * 7 % 11
    model, other = new_model(CONFIG, b"k"), new_model(CONFIG, b"other")
    optimizer, resumed = make_optimizer(model, TINY), make_optimizer(other, TINY)
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
    optimizer = make_optimizer(model, TINY)
    update(model, optimizer, *batch(torch.arange(100) % 11, b"k", 0, 4, 16), 1e-2, 1.0)
    state = state_of(model, optimizer)
    fresh = make_optimizer(model, TINY)
    with pytest.raises(CheckpointError, match=r"exp_avg of lm_head.weight is missing"):
        load_state(model, fresh, {name: value for name, value in state.items() if name != "exp_avg/lm_head.weight"})
    with pytest.raises(CheckpointError, match="misshapen"):
        load_state(model, fresh, state | {"exp_avg/wte.weight": np.zeros((2, 2), np.float32)})
    with pytest.raises(CheckpointError, match="does not have"):
        load_state(model, fresh, state | {"exp_avg/more": np.zeros((2, 2), np.float32)})
