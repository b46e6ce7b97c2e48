"""Numbers that give a loss its meaning: baselines of the corpus, and bits per character."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainer.verse.vocabulary import Vocabulary

TOKENS_PER_CHARACTER = "tokens_per_character"  # the key in a corpus's record
CHUNK = 2**20  # tokens counted at once


@dataclass(frozen=True)
class Baselines:
    """Cross-entropies of three simple predictors on the validation split, in nats per token."""

    uniform: float  # every token is equally likely
    unigram: float  # token frequencies in the training split
    bigram: float  # frequencies of token pairs in the training split

    @classmethod
    def of(cls, train: NDArray[np.integer], val: NDArray[np.integer], vocab_size: int) -> Baselines:
        """Count in the training split with add-one smoothing, and predict the validation split.

        Args:
            train: Token ids of the training split, (N,).
            val: Token ids of the validation split, (M,).
            vocab_size: Number of tokens.
        """
        V, context, target = vocab_size, val[:-1].astype(np.int64), val[1:].astype(np.int64)
        counts, firsts = np.zeros(V, np.int64), np.zeros(V, np.int64)
        pairs, places = np.unique(context * V + target, return_inverse=True)  # only those that are asked for
        joint = np.zeros(len(pairs) + 1, np.int64)
        for start in range(0, len(train), CHUNK):
            chunk = train[start : start + CHUNK + 1].astype(np.int64)  # one more: the second of the last pair
            counts += np.bincount(chunk[:CHUNK], minlength=V)
            firsts += np.bincount(chunk[:-1], minlength=V)
            found = chunk[:-1] * V + chunk[1:]
            index = np.searchsorted(pairs, found).clip(max=len(pairs) - 1)
            joint += np.bincount(np.where(pairs[index] == found, index, len(pairs)), minlength=len(pairs) + 1)
        unigram = np.log(len(train) + V) - np.log(counts[target] + 1).mean()
        bigram = (np.log(firsts[context] + V) - np.log(joint[places] + 1)).mean()
        return cls(math.log(V), float(unigram), float(bigram))


def baseline_names(tokenizer: str) -> dict[str, str]:
    """Return what people call the baselines, by field of `Baselines`."""
    token = "letter" if tokenizer == "char" else "token"
    return {"uniform": "uniform guess", "unigram": f"{token} frequencies", "bigram": f"{token} pairs"}


def tokens_per_character(vocabulary: Vocabulary, ids: NDArray[np.integer], text: str) -> float:
    """Return predicted tokens divided by predicted characters; the first token is not predicted.

    Args:
        vocabulary: What each token spells.
        ids: The validation split, (N,), at least two tokens.
        text: The same split as text.
    """
    return float((len(ids) - 1) / max(1, len(text) - len(vocabulary.tokens[ids[0]])))


def bits_per_character(loss: float, ratio: float) -> float:
    """Convert a loss in nats per token to bits per character, which tokenizers share.

    Args:
        loss: Nats per token.
        ratio: Tokens per character.
    """
    return loss * ratio / math.log(2)


def recorded_tokens_per_character(corpus: Mapping[str, Any], kind: str) -> float | None:
    """Return the ratio in a corpus's record; None if the record of a BPE run does not have it.

    Args:
        corpus: The record.
        kind: The kind of the tokenizer, "char" or "bpe".
    """
    ratio = corpus.get(TOKENS_PER_CHARACTER, 1.0 if kind == "char" else None)
    return ratio if isinstance(ratio, float) else None
