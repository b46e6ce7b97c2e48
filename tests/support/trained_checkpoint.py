"""One small checkpoint, really trained, once a session, for all tests of the verse."""

from __future__ import annotations

import pytest

from tests.support.verse_agreement import Checkpoint

STEPS = 300
PROMPT_TEXT = 4000  # characters of the corpus kept for prompts


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """A modern model of 0.1 M weights that has read the folio for 300 steps: most of its words are words."""
    pytest.importorskip("torch", reason="training needs torch")
    from trainer import corpus
    from trainer.checkpoint import read_checkpoint
    from trainer.config import TrainConfig
    from trainer.plan import Plan, Revision
    from trainer.tokenizer import CharTokenizer
    from trainer.train import train
    from trainer.verse.model import round_weights

    config = TrainConfig(preset="tiny", n_layer=2, n_head=2, n_embd=64, block_size=64, batch_size=16, threads=1)
    run = train(config, tmp_path_factory.mktemp("runs") / "small", Plan((Revision(0, STEPS, 1),)))
    checkpoint = read_checkpoint(run.path)
    text = CharTokenizer(checkpoint.vocabulary).encode(corpus.load_corpus(config.corpus).text[:PROMPT_TEXT])
    weights = round_weights(checkpoint.config, checkpoint.weights)
    return Checkpoint(checkpoint.config, checkpoint.vocabulary, weights, tuple(text.tolist()))
