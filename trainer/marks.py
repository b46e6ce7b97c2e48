"""Marks beside the loss: what a corpus costs those who know little of it. A loss means something next to them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


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
