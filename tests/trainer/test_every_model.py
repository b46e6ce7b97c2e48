"""Every architecture with every tokenizer, in every size: trained, submitted, read again and verified."""

from __future__ import annotations

from dataclasses import asdict
from itertools import product
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from arena.cli import main as arena
from tests.support.training_runs import text_file
from trainer.checkpoint import read_checkpoint
from trainer.config import PRESETS, TOKENIZERS
from trainer.options import start_training
from trainer.runtime.clock import RunClock
from trainer.runtime.run import read_config
from trainer.sampling import make_recipe
from trainer.submission.submit import make_submission, save_bundle
from trainer.verse.bundle import read_bundle
from trainer.verse.config import ARCHITECTURES
from trainer.verse.model import VerseModel
from trainer.verse.replay import replay

pytestmark = pytest.mark.slow
STEPS = 20  # enough that a model of bytes writes mostly letters
SMALL, BIG = ("tiny", "small"), ("medium", "large")
PROMPT = "The"


def every(presets: tuple[str, ...]) -> list[tuple[str, str, str]]:
    return list(product(ARCHITECTURES, TOKENIZERS, presets))


def train_and_submit(folder: Path, arch: str, tokenizer: str, preset: str, **sizes: int) -> Path:
    """A bundle, from nothing, by what the commands call."""
    if tokenizer == "bpe":
        sizes["vocab_size"] = 320
    run = start_training(
        {
            "corpus": str(text_file(folder, 20_000)),
            "out": folder / "run",
            "steps": STEPS,
            "device": "cpu",
            "preset": preset,
            "arch": arch,
            "tokenizer": tokenizer,
            **sizes,
        },
        RunClock(),
    )
    config, _ = read_config(run)
    context = {"short_context": config.short_context}  # a gpt2 has none
    sized = {name: value for name, value in asdict(PRESETS[preset]).items() if name != "n_merges"}
    expected = sized | context | {"tokenizer": tokenizer, "vocab_size": sizes.get("vocab_size", 0)}
    assert expected.items() <= config.to_dict().items()
    submission = make_submission(
        read_checkpoint(run.path), make_recipe(read_checkpoint(run.path), PROMPT, 30, 1, 8, 24)
    )
    return save_bundle(submission, folder / "a.verse")


def check(path: Path, arch: str, tokenizer: str) -> None:
    """The bundle says what it is, its weights write its verse, and the arena says so, too."""
    bundle = read_bundle(path)
    claim = bundle.claim
    assert (claim.config.arch, claim.vocabulary.kind, claim.prompt) == (arch, tokenizer, PROMPT)
    assert claim.text.strip()
    assert claim.provenance["train"]["tokenizer"] == tokenizer
    assert claim.provenance["bits_per_character"] > 0
    assert replay(VerseModel(claim.config, bundle.weights), claim.recipe, claim.ids).verdict == "PASS"
    result = CliRunner().invoke(arena, ["verify", str(path)])
    assert result.exit_code == 0, result.output
    assert "PASS" in result.output


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.mark.parametrize(("arch", "tokenizer", "preset"), every(SMALL))
def test_a_small_model_of_every_kind_trains_submits_and_verifies(
    arch: str, tokenizer: str, preset: str, tmp_path: Path
) -> None:
    check(train_and_submit(tmp_path, arch, tokenizer, preset, batch_size=2), arch, tokenizer)


@pytest.mark.campaign
@pytest.mark.parametrize(("arch", "tokenizer", "preset"), every(BIG))
def test_a_big_model_of_every_kind_trains_submits_and_verifies(
    arch: str, tokenizer: str, preset: str, tmp_path: Path
) -> None:
    check(train_and_submit(tmp_path, arch, tokenizer, preset, batch_size=1), arch, tokenizer)
