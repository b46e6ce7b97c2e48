"""What a model is about to learn from: the corpus as tokens on the device, all of it checked before a run begins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from trainer import corpus, machine, rng
from trainer.checkpoint import Checkpoint
from trainer.config import TrainConfig
from trainer.corpus import Corpus
from trainer.errors import OptionError
from trainer.marks import Marks
from trainer.tokenizer import CharTokenizer
from trainer.verse import strictjson
from trainer.verse.claim import MAX_HEADER_BYTES
from trainer.verse.config import ModelConfig
from trainer.verse.vocabulary import Vocabulary

HEADER_REST = 2**17  # bytes of a bundle's header beside its tokenizer: 64 layers' tensor names, a verse, a loss curve


@dataclass(frozen=True)
class Lesson:
    """A corpus made ready for one config."""

    corpus: Corpus
    tokenizer: CharTokenizer
    train: torch.Tensor  # token ids of the first nine tenths
    val: torch.Tensor  # token ids of the last tenth
    marks: Marks
    model: ModelConfig
    key: bytes  # of the run's random numbers
    device: torch.device

    @property
    def corpus_record(self) -> dict[str, str]:
        """What records say of the corpus."""
        return {"name": self.corpus.name, "sha256": self.corpus.sha256}

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
    text.check_length(config.block_size)
    tokenizer = CharTokenizer.of(text.text)
    check_header(tokenizer.vocabulary)
    model = config.model(tokenizer.size)
    ids = tokenizer.encode(text.text)
    train, val = ids[: text.split], ids[text.split :]
    marks = Marks.of(train, val, tokenizer.size)
    key = rng.seed_key(config.seed)
    on_device = [torch.from_numpy(part).to(device) for part in (train, val)]
    return Lesson(text, tokenizer, on_device[0], on_device[1], marks, model, key, device)


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
