"""Settings: bounds, presets, and what is chosen for whom."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from trainer.config import BATCH_TOKENS, DEVICES, PRESETS, TrainConfig, choose
from trainer.errors import OptionError
from trainer.verse.config import ARCHITECTURES
from trainer.verse.errors import ConfigError


@pytest.mark.parametrize(
    "change",
    [
        {"batch_size": 0},
        {"batch_size": 1.5},
        {"batch_size": True},
        {"learning_rate": 0.0},
        {"learning_rate": float("nan")},
        {"learning_rate": "fast"},
        {"dropout": 1.0},
        {"dropout": -0.1},
        {"seed": -1},
        {"device": "tpu"},
        {"arch": "gpt2", "block_size": 1},
    ],
)
def test_a_setting_out_of_bounds_is_refused_by_name(change: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match=list(change)[-1]):
        TrainConfig(**change)


@pytest.mark.parametrize(
    "change",
    [{"n_head": 3}, {"n_embd": 132}, {"n_layer": 0}, {"n_layer": 65}, {"block_size": 1025}, {"arch": "rnn"},
     {"n_layer": 64, "n_embd": 4096, "n_head": 32}],
)  # fmt: skip
def test_a_model_that_could_not_be_submitted_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        TrainConfig(**change)


def test_a_config_survives_its_plain_form_and_no_other_is_taken() -> None:
    config = TrainConfig(seed=5, dropout=0.1)
    assert TrainConfig.from_dict(config.to_dict()) == config
    for broken in ({}, config.to_dict() | {"more": 1}, [], None):
        with pytest.raises(OptionError, match="exactly the keys"):
            TrainConfig.from_dict(broken)


@pytest.mark.parametrize("arch", ARCHITECTURES)
@pytest.mark.parametrize(("name", "millions"), [("tiny", 0.4), ("small", 0.8), ("medium", 10.7), ("large", 85)])
def test_presets_have_the_sizes_they_promise_and_can_be_submitted(arch: str, name: str, millions: float) -> None:
    config, _ = choose({"preset": name, "arch": arch}, "cpu", None)
    assert config.model(65).n_params == pytest.approx(millions * 1e6, rel=0.1)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("minutes", [None, 0.2, 2.0, 5.0, 60.0, 600.0])
def test_auto_picks_something_that_can_be_trained_and_says_what(device: str, minutes: float | None) -> None:
    config, why = choose({"preset": "auto"}, device, minutes)
    assert config.preset in PRESETS
    assert f"preset {config.preset}, context {config.block_size}, {config.batch_size} sequences" in why
    assert config.device == device
    assert config.batch_size * config.block_size >= BATCH_TOKENS[device] / 2


def test_what_is_given_beats_preset_and_auto() -> None:
    given = {"n_layer": 3, "n_head": 3, "n_embd": 96, "block_size": 48, "batch_size": 5, "learning_rate": 0.5}
    for preset in ("auto", "large"):
        config, _ = choose(given | {"preset": preset, "dropout": None, "arch": "gpt2"}, "cpu", 2.0)
        assert config == replace(config, **given)
        assert (config.dropout, config.arch) == (0.0, "gpt2")


def test_a_gpt2_keeps_the_whole_context_since_its_verses_end_there() -> None:
    assert choose({"preset": "auto", "arch": "gpt2"}, "cpu", 2.0)[0].block_size == 256
    assert choose({"preset": "auto", "arch": "modern"}, "cpu", 2.0)[0].block_size < 256


def test_a_wider_model_learns_more_slowly() -> None:
    rates = [choose({"preset": name}, "cuda", None)[0].learning_rate for name in ("small", "medium", "large")]
    assert rates == sorted(rates, reverse=True)


def test_an_unknown_preset_is_refused_with_those_there_are() -> None:
    with pytest.raises(OptionError, match="tiny, small, medium, large"):
        choose({"preset": "huge"}, "cpu", None)
