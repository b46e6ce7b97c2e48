"""The torch model is the model of SPEC.md, with gradients."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.support.small_models import random_weights
from trainer.model import embed, load_weights, new_model, normalize, relu_squared, rotary_table, rotate, weights_of
from trainer.verse.config import ARCHITECTURES, ModelConfig
from trainer.verse.model import VerseModel

SHAPES = [
    ModelConfig("modern", 2, 2, 16, 24, 11),  # head width 8
    ModelConfig("modern", 3, 2, 128, 32, 65),  # 64
    ModelConfig("modern", 1, 1, 8, 24, 513),  # no tables of previous tokens
    ModelConfig("gpt2", 2, 2, 16, 24, 11),
    ModelConfig("gpt2", 3, 2, 128, 32, 65),
]


@pytest.mark.parametrize("config", SHAPES, ids=lambda config: f"{config.arch}-{config.n_embd}")
def test_torch_and_the_verse_engine_compute_the_same_logits(config: ModelConfig) -> None:
    weights = random_weights(config, seed=3, spread=0.3)
    assert all(np.abs(weight).max() > 0 for weight in weights.values())  # nothing is left out by being zero
    ids = np.random.default_rng(4).integers(0, config.vocab_size, (3, config.block_size))
    engine = VerseModel(config, weights)
    exact = engine.logits(engine.hidden(ids, engine.new_cache(3, config.block_size)))

    model = new_model(config, b"any").eval()
    load_weights(model, ((name, weight.astype(np.float32)) for name, weight in weights.items()))
    with torch.no_grad():
        trained = model(torch.from_numpy(ids)).double().numpy()
    assert np.abs(trained - exact).max() <= 1e-4 * np.abs(exact).max()


@pytest.mark.parametrize("config", SHAPES, ids=lambda config: f"{config.arch}-{config.n_embd}")
def test_parameters_bear_the_names_and_shapes_of_the_config(config: ModelConfig) -> None:
    shapes = {name: tuple(weight.shape) for name, weight in weights_of(new_model(config, b"k")).items()}
    assert shapes == config.tensor_shapes()


def test_initial_weights_depend_on_the_key_alone() -> None:
    torch.manual_seed(1)
    first = weights_of(new_model(SHAPES[1], b"k"))
    torch.manual_seed(2)
    again, other = weights_of(new_model(SHAPES[1], b"k")), weights_of(new_model(SHAPES[1], b"l"))
    assert all(np.array_equal(first[name], again[name]) for name in first)
    assert not np.array_equal(first["wte.weight"], other["wte.weight"])
    sums = {round(float(np.abs(weight).sum()), 3) for name, weight in first.items() if "c_attn" in name}
    assert len(sums) == 3  # a stream of its own for each tensor


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_a_new_model_gives_no_token_a_high_probability(arch: str) -> None:
    config = replace(SHAPES[1], arch=arch)
    logits = new_model(config, b"k")(torch.arange(32)[None])
    shares = logits.softmax(-1)
    assert shares.max() < 0.1  # gpt2 has a head that favours the token just read, a little


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_no_position_sees_what_comes_after_it(arch: str) -> None:
    config = replace(SHAPES[0], arch=arch)
    model = new_model(config, b"k").eval()
    load_weights(model, ((name, weight.astype(np.float32)) for name, weight in random_weights(config, 5).items()))
    ids = torch.arange(24)[None] % 11
    changed = ids.clone()
    changed[0, 13:] = (changed[0, 13:] + 1) % 11
    with torch.no_grad():
        a, b = model(ids), model(changed)
    assert torch.allclose(a[:, :13], b[:, :13], atol=1e-5)
    assert not torch.allclose(a[:, 13:], b[:, 13:], atol=1e-3)


def test_dropout_acts_while_training_and_not_after() -> None:
    model = new_model(replace(SHAPES[0], arch="gpt2"), b"k", dropout=0.5)
    ids = torch.arange(24)[None] % 11
    assert not torch.equal(model(ids), model(ids))
    model.eval()
    assert torch.equal(model(ids), model(ids))


def random_tensor(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape)).requires_grad_()


@pytest.mark.parametrize("function", [normalize, relu_squared, lambda x: rotate(x, *rotary_table(8, 5))])
def test_gradients_that_are_written_out_are_those_of_the_function(function: Callable[..., torch.Tensor]) -> None:
    assert torch.autograd.gradcheck(function, random_tensor(2, 3, 5, 8))


def test_an_embedding_gets_the_gradient_of_every_position_it_was_added_to() -> None:
    ids = torch.tensor([[1, 1, 0, 2], [2, 1, 1, 1]])
    tables = [random_tensor(3, 4, seed=offset) for offset in range(3)]
    assert torch.autograd.gradcheck(lambda *tables: embed(ids, tables), tables)


def test_previous_tokens_are_added_where_there_are_any() -> None:
    ids, tables = torch.tensor([[2, 0, 1]]), [random_tensor(3, 4, seed=offset) for offset in range(3)]
    here, before, two_before = tables
    expected = torch.stack([here[2], here[0] + before[2], here[1] + before[0] + two_before[2]])
    assert torch.equal(embed(ids, tables)[0], expected)
