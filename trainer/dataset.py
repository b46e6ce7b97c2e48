"""What a model is about to learn from: the corpus as tokens on the device, all of it checked before a run begins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from trainer import corpus, rng
from trainer import device as machine
from trainer.checkpoint import Checkpoint
from trainer.config import TrainConfig
from trainer.corpus import Corpus
from trainer.errors import CorpusError, OptionError
from trainer.metrics import RATIO, Marks, bits_per_character, tokens_per_character
from trainer.tokenizer import BPETokenizer, CharTokenizer, Tokenizer
from trainer.verse import strictjson
from trainer.verse.claim import MAX_HEADER_BYTES
from trainer.verse.config import ModelConfig
from trainer.verse.vocabulary import Vocabulary

HEADER_REST = 2**17  # bytes of a bundle's header beside its tokenizer: 64 layers' tensor names, a verse, a loss curve


@dataclass(frozen=True)
class Lesson:
    """A corpus made ready for one config."""

    corpus: Corpus
    tokenizer: Tokenizer
    train: torch.Tensor  # token ids of the first nine tenths
    val: torch.Tensor  # token ids of the last tenth
    tokens_per_character: float  # of the last tenth
    marks: Marks
    model: ModelConfig
    key: bytes  # of the run's random numbers
    device: torch.device

    @property
    def corpus_record(self) -> dict[str, Any]:
        """What records say of the corpus."""
        return {"name": self.corpus.name, "sha256": self.corpus.sha256, RATIO: self.tokens_per_character}

    def bits(self, loss: float) -> float:
        """Bits a character, of a loss in nats a token."""
        return bits_per_character(loss, self.tokens_per_character)

    def checkpoint(
        self,
        weights: Mapping[str, NDArray[np.float32]],
        step: int = 0,
        val_loss: float | None = None,
        provenance: Mapping[str, Any] = MappingProxyType({}),
    ) -> Checkpoint:
        """Weights trained on this, as something that can be kept and can write."""
        vocabulary = self.tokenizer.vocabulary
        return Checkpoint(self.model, vocabulary, step, val_loss, self.corpus_record, provenance, weights)


def prepare(config: TrainConfig) -> Lesson:
    """Load the corpus and refuse what could not be trained, or not be submitted.

    Raises:
        CorpusError, VocabularyError, ConfigError, OptionError: the message says what to do.
    """
    device = machine.prepare(config.device, config.threads)
    text = corpus.load(config.corpus)
    train_text, val_text = text.text[: text.split], text.text[text.split :]
    tokenizer = new_tokenizer(config, text)
    check_header(tokenizer.vocabulary)
    model = config.model(tokenizer.size)
    train, val = tokenizer.encode(train_text), tokenizer.encode(val_text)
    check_length(text, len(train), len(val), config)
    ratio = tokens_per_character(tokenizer.vocabulary, val, val_text)
    marks = Marks.of(train, val, tokenizer.size)
    key = rng.seed_key(config.seed)
    on_device = [torch.from_numpy(part).to(device) for part in (train, val)]
    return Lesson(text, tokenizer, on_device[0], on_device[1], ratio, marks, model, key, device)


def new_tokenizer(config: TrainConfig, text: Corpus) -> Tokenizer:
    """Characters of the whole text, since one that only the last tenth has must be a token, too; or merges learned
    from the first nine tenths alone, since they are a part of the model."""
    if config.tokenizer == "char":
        return CharTokenizer.of(text.text)
    return BPETokenizer.of(text.text[: text.split], config.vocab_size)


def check_length(text: Corpus, train: int, val: int, config: TrainConfig) -> None:
    """Whether the text has tokens enough to learn from, and to be judged by.

    Args:
        train: tokens of the first nine tenths.
        val: tokens of the last tenth.

    Raises:
        CorpusError: it has not.
    """
    needed = config.block_size + 1  # a sequence, and the token after it
    if train < needed or val < 2:
        tokens = "characters" if config.tokenizer == "char" else "tokens"
        raise CorpusError(
            f"{text.name} is too short: it has {train:,} {tokens} to train on and {val:,} to be judged by, and with a "
            f"context of {config.block_size} it needs at least {needed:,} and 2. Give a longer text or a smaller "
            "--block-size"
        )


def check_header(vocabulary: Vocabulary, limit: int = MAX_HEADER_BYTES - HEADER_REST) -> None:
    """Whether a bundle's header can hold this tokenizer.

    Raises:
        OptionError: it cannot.
    """
    size = len(strictjson.dump(vocabulary.to_dict()))
    if size > limit:
        raise OptionError(
            f"a tokenizer of {vocabulary.size:,} tokens takes {size:,} bytes of a bundle's header, which has room for "
            f"{limit:,}: use a smaller vocabulary"
        )
