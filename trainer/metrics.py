"""The loss in a unit that tokenizers share, bits a character: a token of three letters may cost three times as much."""

from __future__ import annotations

import math
from collections.abc import Mapping
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
