"""Checkpoints: the same bytes for the same content, and everything checked when read."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save

from trainer.checkpoint import (
    METADATA_KEY,
    Checkpoint,
    Resume,
    read_checkpoint,
    read_resume,
    write_checkpoint,
)
from trainer.errors import CheckpointError
from trainer.plan import plan_for_steps
from trainer.sampling import make_recipe
from trainer.verse.bundle import pack
from trainer.verse.config import ModelConfig
from trainer.verse.generate import regenerate
from trainer.verse.model import VerseModel, round_weights
from trainer.verse.vocabulary import Vocabulary

CONFIG = ModelConfig("modern", 1, 1, 8, 4, 3)


def make() -> Checkpoint:
    rng = np.random.default_rng(1)
    weights = {name: rng.normal(size=shape).astype(np.float32) for name, shape in CONFIG.tensor_shapes().items()}
    corpus = {"name": "own", "sha256": "00" * 32}
    return Checkpoint(
        CONFIG, Vocabulary.chars("\nab"), 12, 1.5, corpus, {"seed": 7, "unknown": [1, {"é": 2.5}]}, weights
    )


RESUME = Resume(plan_for_steps(20), {"losses": [0.1]}, {"exp_avg/wte.weight": np.ones((3, 8), np.float32)})


def rewrite(path: Path, change: Callable[[dict[str, Any], dict[str, Any]], object]) -> Path:
    """Damage a checkpoint's description or tensors, and write it as well-formed as the rest."""
    checkpoint = read_checkpoint(path)
    data = path.read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    about = json.loads(json.loads(data[8 : 8 + length])["__metadata__"][METADATA_KEY])
    tensors = dict(checkpoint.weights)
    change(about, tensors)
    path.write_bytes(save(tensors, metadata={METADATA_KEY: json.dumps(about)}))
    return path


def test_a_checkpoint_comes_back_as_it_was(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "a.safetensors", make())
    back = read_checkpoint(tmp_path / "a.safetensors")
    assert replace(back, weights={}) == replace(make(), weights={})
    assert all(np.array_equal(back.weights[name], weight) for name, weight in make().weights.items())


def bundle(path: Path, **provenance: Any) -> Path:
    """A bundle of the same model, with a verse of four tokens."""
    author = replace(make(), provenance={"steps": 12, "corpus": dict(make().corpus)} | provenance)
    recipe = make_recipe(author, "a", 80, 3, tokens=4)
    weights = round_weights(author.config, author.weights)
    [written] = regenerate(VerseModel(author.config, weights), author.vocabulary, [recipe])
    path.write_bytes(pack(author.config, author.vocabulary, weights, written, author.provenance))
    return path


def test_a_bundle_is_read_as_the_checkpoint_it_was_made_from(tmp_path: Path) -> None:
    curve = [[8, 1.9, 2.0], [12, 1.4, 1.5]]
    back = read_checkpoint(bundle(tmp_path / "a.verse", loss_curve=curve))
    assert (back.config, back.vocabulary, back.step, back.val_loss) == (CONFIG, make().vocabulary, 12, 1.5)
    assert (back.corpus, back.provenance["loss_curve"]) == (make().corpus, curve)
    for name, weight in make().weights.items():
        assert back.weights[name].dtype == np.float32
        assert np.array_equal(back.weights[name], weight.astype(np.float16))
    with pytest.raises(CheckpointError, match="not what is needed to resume"):
        read_resume(tmp_path / "a.verse")


@pytest.mark.parametrize("curve", [[], [[8, 1.9, 2.0]], [[12, 1.4]], [12, "1.5"], [[12, 1.4, "1.5"]]])
def test_a_bundle_whose_loss_curve_lacks_its_step_has_no_loss(curve: list[Any], tmp_path: Path) -> None:
    path = bundle(tmp_path / "a.verse", loss_curve=curve)
    assert read_checkpoint(path).val_loss is None


@pytest.mark.parametrize(
    "changes",
    [{"steps": None}, {"steps": -1}, {"steps": "12"}, {"corpus": None}, {"corpus": "own"}, {"corpus": {"name": "own"}}],
)
def test_a_bundle_that_does_not_tell_its_training_is_refused_in_one_line(
    changes: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match="cannot be used: the bundle does not tell the steps and the") as refused:
        read_checkpoint(bundle(tmp_path / "a.verse", **changes))
    assert "\n" not in str(refused.value)


def test_a_damaged_bundle_is_not_read_as_a_checkpoint(tmp_path: Path) -> None:
    path = bundle(tmp_path / "a.verse")
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(CheckpointError, match="cannot be used: the weights were changed"):
        read_checkpoint(path)


def test_equal_content_gives_equal_bytes(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "a", make(), RESUME)
    shuffled = replace(
        make(), weights=dict(reversed(make().weights.items())), provenance={"unknown": [1, {"é": 2.5}], "seed": 7}
    )
    write_checkpoint(tmp_path / "b", shuffled, RESUME)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_the_state_that_resuming_needs_survives_a_checkpoint(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "a", make(), RESUME)
    checkpoint, resume = read_resume(tmp_path / "a")
    assert checkpoint.step == 12
    assert (resume.plan, resume.train_state) == (RESUME.plan, RESUME.train_state)
    assert np.array_equal(resume.optimizer["exp_avg/wte.weight"], np.ones((3, 8)))


def test_a_model_without_optimizer_state_cannot_be_resumed(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "a", make())
    with pytest.raises(CheckpointError, match="not what is needed to resume"):
        read_resume(tmp_path / "a")


def test_a_run_s_folder_stands_for_its_best_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"never evaluated: resume it with trainer train --resume"):
        read_checkpoint(tmp_path)
    write_checkpoint(tmp_path / "best.safetensors", make())
    assert read_checkpoint(tmp_path).step == 12


def test_a_file_that_is_not_a_checkpoint_is_refused_with_advice(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="is not a run"):
        read_checkpoint(tmp_path)
    with pytest.raises(CheckpointError, match="there is no checkpoint"):
        read_checkpoint(tmp_path / "missing")
    for data in (b"", b"plain text, of some length", b"\xff" * 100, save({"a": np.zeros(2, np.float32)})):
        (tmp_path / "file").write_bytes(data)
        with pytest.raises(CheckpointError, match="cannot be used"):
            read_checkpoint(tmp_path / "file")


@pytest.mark.parametrize("keep", [4, 100, 1000, -1])
def test_a_checkpoint_cut_short_is_refused(keep: int, tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "a", make(), RESUME)
    (tmp_path / "a").write_bytes((tmp_path / "a").read_bytes()[:keep])
    with pytest.raises(CheckpointError, match="cannot be used"):
        read_checkpoint(tmp_path / "a")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda about, _: about.update(format=2), "format 2"),
        (lambda about, _: about.pop("step"), "its metadata"),
        (lambda about, _: about.update(more=1), "its metadata"),
        (lambda about, _: about.update(step="12"), "its metadata"),
        (lambda about, _: about.update(step=-1), "negative step -1"),
        (lambda about, _: about.update(resume={"plan": {}}), "its state to resume"),
        (lambda about, _: about["config"].update(n_head=3), "n_embd / n_head"),
        (lambda about, _: about["config"].update(n_layer=2), "h.1.attn.c_attn.weight is missing"),
        (lambda about, _: about["tokenizer"].update(symbols="\nabc"), "4 tokens, its model 3"),
        (lambda about, _: about["tokenizer"].update(symbols="\naa"), "is repeated"),
        (lambda _, tensors: tensors.pop("wte.weight"), "wte.weight is missing"),
        (lambda _, tensors: tensors.update({"../x": np.zeros(1, np.float32)}), "does not belong"),
        (lambda _, tensors: tensors.update({"wte.weight": np.zeros((8, 3), np.float32)}), r"must be float32 \(3, 8\)"),
        (lambda _, tensors: tensors.update({"wte.weight": np.zeros((3, 8), np.float16)}), "F16, not F32"),
        (lambda _, tensors: tensors.update({"wte.weight": np.full((3, 8), np.nan, np.float32)}), "not a finite number"),
        (lambda _, tensors: tensors.update({"optimizer/a": np.zeros(1, np.float32)}), "no state to resume"),
    ],
)
def test_a_description_or_a_tensor_that_is_wrong_is_refused_by_name(
    change: Callable[[dict[str, Any], dict[str, Any]], object], says: str, tmp_path: Path
) -> None:
    write_checkpoint(tmp_path / "a", make())
    with pytest.raises(CheckpointError, match=says):
        read_checkpoint(rewrite(tmp_path / "a", change))


def test_a_checkpoint_that_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "a", make())
    before = (tmp_path / "a").read_bytes()
    with pytest.raises(ValueError, match="JSON"):
        write_checkpoint(tmp_path / "a", replace(make(), step=13, val_loss=float("nan")))
    assert (tmp_path / "a").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
