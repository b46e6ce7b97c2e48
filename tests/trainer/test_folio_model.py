"""The model that comes along, data/folio.verse: what data/README.md says of it, and what it may weigh."""

from __future__ import annotations

import hashlib
from pathlib import Path

from trainer.checkpoint import read_checkpoint
from trainer.corpus import KNOWN_CORPORA
from trainer.verse.bundle import read_bundle
from trainer.verse.model import VerseModel
from trainer.verse.replay import replay

DATA = Path(__file__).parents[2] / "data"
MODEL = DATA / "folio.verse"


def test_the_readme_tells_the_weights_the_steps_the_loss_and_the_digest_of_the_model() -> None:
    checkpoint, readme = read_checkpoint(MODEL), (DATA / "README.md").read_text(encoding="utf-8")
    assert f"| weights | {checkpoint.config.n_params:,}, float16 |" in readme
    assert (
        f"| validation loss | {checkpoint.val_loss:.4f} nats per character, after {checkpoint.step:,} steps |" in readme
    )
    assert f"| SHA-256 | {hashlib.sha256(MODEL.read_bytes()).hexdigest()} |" in readme


def test_the_model_is_small_and_was_trained_on_the_folio() -> None:
    checkpoint = read_checkpoint(MODEL)
    assert MODEL.stat().st_size <= 2_000_000
    assert checkpoint.config.n_params <= 950_000
    assert checkpoint.corpus["sha256"] == KNOWN_CORPORA["folio"].sha256
    assert checkpoint.val_loss is not None and checkpoint.val_loss < 1.45


def test_the_verse_of_the_model_passes() -> None:
    bundle = read_bundle(MODEL)
    assert (
        replay(VerseModel(bundle.claim.config, bundle.weights), bundle.claim.recipe, bundle.claim.ids).verdict == "PASS"
    )
