"""Settings and their bounds."""

from __future__ import annotations

from typing import Any

import pytest

from trainer.config import TrainConfig
from trainer.errors import OptionError
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
        {"optimizer": "sgd"},
        {"precision": "int4"},
        {"momentum": 1.0},
        {"early_stop": 1},
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


def test_a_config_survives_its_dictionary_and_other_keys_are_refused() -> None:
    config = TrainConfig(seed=5, dropout=0.1)
    assert TrainConfig.from_dict(config.to_dict()) == config
    for broken in ({}, config.to_dict() | {"more": 1}, [], None):
        with pytest.raises(OptionError, match="exactly the keys"):
            TrainConfig.from_dict(broken)
