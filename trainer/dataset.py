"""The dataset of a run: a corpus as token ids on the device, checked before the run begins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from trainer import rng
from trainer.checkpoint import Checkpoint
from trainer.config import TrainConfig
from trainer.corpus import Corpus, load_corpus
from trainer.device import configure_device
from trainer.errors import CorpusError, OptionError
from trainer.metrics import TOKENS_PER_CHARACTER, Baselines, bits_per_character, tokens_per_character
from trainer.tokenizer import BPETokenizer, CharTokenizer, Tokenizer
from trainer.verse import strictjson
from trainer.verse.claim import MAX_HEADER_BYTES
from trainer.verse.config import ModelConfig
from trainer.verse.vocabulary import Vocabulary

HEADER_RESERVE = 2**17  # bytes of a bundle's header beside its tokenizer: tensor names, a verse, a loss curve


@dataclass(frozen=True)
class Dataset:
    """A corpus prepared for one config."""

    corpus: Corpus
    tokenizer: Tokenizer
    train: torch.Tensor  # token ids of what comes before the validation split, (N,)
    val: torch.Tensor  # token ids of the validation split, (M,)
    tokens_per_character: float  # of the validation split
    baselines: Baselines
    model_config: ModelConfig
    key: bytes  # of the run's random numbers
    device: torch.device

    @property
    def corpus_record(self) -> dict[str, Any]:
        """What records say about the corpus."""
        return {
            "name": self.corpus.name,
            "sha256": self.corpus.sha256,
            TOKENS_PER_CHARACTER: self.tokens_per_character,
        }

    def bits_per_character(self, loss: float) -> float:
        """Convert a loss in nats per token to bits per character."""
        return bits_per_character(loss, self.tokens_per_character)

    def checkpoint(
        self,
        weights: Mapping[str, NDArray[np.float32]],
        step: int = 0,
        val_loss: float | None = None,
        provenance: Mapping[str, Any] = MappingProxyType({}),
    ) -> Checkpoint:
        """Return weights trained on this dataset as a checkpoint.

        Args:
            weights: float32 tensors by name.
            step: Updates done.
            val_loss: At this step, in nats per token; None if it was not evaluated.
            provenance: How the model was trained, plain data.
        """
        vocabulary = self.tokenizer.vocabulary
        return Checkpoint(self.model_config, vocabulary, step, val_loss, self.corpus_record, provenance, weights)


def load_dataset(config: TrainConfig, corpus: Corpus | None = None) -> Dataset:
    """Load the corpus, and refuse what could not be trained on or submitted.

    Args:
        config: What will be trained.
        corpus: The one that the config names; None to load it.

    Raises:
        CorpusError: The corpus cannot be read, is too short, or has more characters than there may be tokens.
        VocabularyError: The corpus has too few or too many symbols.
        ConfigError: No such model could be submitted.
        OptionError: The vocabulary does not fit into a bundle.
    """
    device = configure_device(config.device, config.threads)
    corpus = corpus or load_corpus(config.corpus, config.encoding, config.strip_gutenberg)
    train_text, val_text = corpus.text[: corpus.split], corpus.text[corpus.split :]
    tokenizer = new_tokenizer(config, corpus)
    check_header(tokenizer.vocabulary)
    model_config = config.model(tokenizer.size)
    train, val = tokenizer.encode(train_text), tokenizer.encode(val_text)
    check_length(corpus, len(train), len(val), config)
    return Dataset(
        corpus=corpus,
        tokenizer=tokenizer,
        train=torch.from_numpy(train).to(device),
        val=torch.from_numpy(val).to(device),
        tokens_per_character=tokens_per_character(tokenizer.vocabulary, val, val_text),
        baselines=Baselines.of(train, val, tokenizer.size),
        model_config=model_config,
        key=rng.run_key(config.seed, config.nonce, config.owner),
        device=device,
    )


def new_tokenizer(config: TrainConfig, corpus: Corpus) -> Tokenizer:
    """Make the tokenizer that the config asks for.

    Its characters are those of the whole text, so that the validation split can be encoded. Its merges are learned from
    the training split alone, since they are part of the model.
    """
    if config.tokenizer == "char":
        return CharTokenizer(Vocabulary.chars(corpus.symbols))
    return BPETokenizer.of(corpus.text[: corpus.split], config.vocab_size, corpus.symbols)


def check_length(corpus: Corpus, train: int, val: int, config: TrainConfig) -> None:
    """Refuse a corpus with too few tokens to train on or to evaluate with.

    Args:
        corpus: Named in the error.
        train: Tokens of the training split.
        val: Tokens of the validation split.
        config: Gives the context length.

    Raises:
        CorpusError: A split is too short.
    """
    needed = config.block_size + 1  # a sequence, and the token after it
    if train < needed or val < 2:
        tokens = "characters" if config.tokenizer == "char" else "tokens"
        raise CorpusError(
            f"{corpus.name} is too short: it has {train:,} {tokens} to train on and {val:,} to evaluate with, and a "
            f"context of {config.block_size} needs at least {needed:,} and 2. Give a longer text or a smaller "
            "--block-size"
        )


def check_header(vocabulary: Vocabulary, limit: int = MAX_HEADER_BYTES - HEADER_RESERVE) -> None:
    """Refuse a vocabulary that a bundle's header cannot hold.

    Raises:
        OptionError: It takes more than `limit` bytes.
    """
    size = len(strictjson.dump(vocabulary.to_dict()))
    if size > limit:
        raise OptionError(
            f"a tokenizer of {vocabulary.size:,} tokens takes {size:,} bytes of a bundle's header, which has room for "
            f"{limit:,}: use a smaller vocabulary"
        )
