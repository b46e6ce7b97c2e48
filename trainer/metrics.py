"""Numbers that give a loss its meaning: baselines of the corpus, and bits per character."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainer.verse.vocabulary import Vocabulary

RATIO = "tokens_per_character"  # the key in a corpus's record
INSIDE, MASK = 0x80, 0xC0  # the highest two bits of a byte that does not begin a character in UTF-8


def tokens_per_character(vocabulary: Vocabulary, ids: NDArray[np.integer], text: str) -> float:
    """Tokens that are predicted for each character that is predicted: all but the first token, which is given.

    Args:
        ids: the validation split, at least two tokens.
        text: the same as text.
    """
    given = sum(byte & MASK != INSIDE for byte in vocabulary.tokens[ids[0]])  # characters that begin in it
    return float((len(ids) - 1) / max(1, len(text) - given))


def bits_per_character(loss: float, ratio: float) -> float:
    """Of a loss in nats a token, with so many tokens a character."""
    return loss * ratio / math.log(2)


def recorded_ratio(corpus: Mapping[str, Any], kind: str) -> float | None:
    """Tokens a character, as a corpus's record has it; None where an older one of a BPE run does not say."""
    ratio = corpus.get(RATIO, 1.0 if kind == "char" else None)
    return ratio if isinstance(ratio, float) else None


def mark_names(tokenizer: str) -> dict[str, str]:
    """What people call them, by field of `Marks`."""
    token = "letter" if tokenizer == "char" else "token"
    return {"nothing": "knowing nothing", "letters": f"{token} frequencies", "pairs": f"pairs of {token}s"}


@dataclass(frozen=True)
class Marks:
    """Cross-entropies on the validation split, in nats a token, of three simple guessers."""

    nothing: float  # every token is equally likely
    letters: float  # how often each stood in the training split
    pairs: float  # how often each followed the one before

    @classmethod
    def of(cls, train: NDArray[np.integer], val: NDArray[np.integer], vocab_size: int) -> Marks:
        """Count in the training split (add-one: nothing is impossible), guess in the validation split."""
        V, before, after = vocab_size, val[:-1], val[1:]
        counts = np.bincount(train, minlength=V)
        letters = np.log(len(train) + V) - np.log(counts[after] + 1).mean()
        # A pair (a, b) is the number a*V + b; only those that occur are kept, since V may be large.
        seen, times = np.unique(train[:-1] * V + train[1:], return_counts=True)
        wanted = before * V + after
        place = np.searchsorted(seen, wanted).clip(max=len(seen) - 1)
        together = np.where(seen[place] == wanted, times[place], 0)
        first = np.bincount(train[:-1], minlength=V)[before]
        pairs = (np.log(first + V) - np.log(together + 1)).mean()
        return cls(math.log(V), float(letters), float(pairs))
