"""The model that comes along, for tests of the verse: trained for minutes, so that most of its words are words."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.verse_agreement import Checkpoint
from trainer.corpus import load_corpus
from trainer.tokenizer import CharTokenizer
from trainer.verse.bundle import read_bundle

FOLIO_MODEL = Path(__file__).parents[2] / "data" / "folio.verse"
PROMPT_TEXT = 4000  # characters of the corpus kept for prompts


@pytest.fixture(scope="session")
def trained() -> Checkpoint:
    """The checkpoint of the folio's model: weights, vocabulary, and the beginning of its corpus as tokens."""
    bundle = read_bundle(FOLIO_MODEL)
    text = CharTokenizer(bundle.claim.vocabulary).encode(load_corpus("folio").text[:PROMPT_TEXT])
    return Checkpoint(bundle.claim.config, bundle.claim.vocabulary, bundle.weights, tuple(text.tolist()))
