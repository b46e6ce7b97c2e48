"""The marks beside the loss, counted again by hand."""

from __future__ import annotations

import math
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from trainer import metrics
from trainer.corpus import load_corpus
from trainer.metrics import Baselines
from trainer.tokenizer import CharTokenizer


def count_by_hand(train: str, val: str, V: int) -> tuple[float, float, float]:
    """The definition, character by character."""
    letters, first, pairs = Counter(train), Counter(train[:-1]), Counter(pairwise(train))
    follow = list(pairwise(val))
    by_letter = [-math.log((letters[b] + 1) / (len(train) + V)) for _, b in follow]
    by_pair = [-math.log((pairs[a, b] + 1) / (first[a] + V)) for a, b in follow]
    return math.log(V), math.fsum(by_letter) / len(follow), math.fsum(by_pair) / len(follow)


def test_the_baselines_of_the_folio_equal_those_counted_by_hand() -> None:
    corpus = load_corpus("folio")
    tokenizer = CharTokenizer.of(corpus.text)
    ids = tokenizer.encode(corpus.text)
    marks = Baselines.of(ids[: corpus.split], ids[corpus.split :], tokenizer.size)
    by_hand = count_by_hand(corpus.text[: corpus.split], corpus.text[corpus.split :], 65)
    assert (marks.uniform, marks.unigram, marks.bigram) == pytest.approx(by_hand, abs=1e-9)
    assert (round(marks.uniform, 2), round(marks.unigram, 2), round(marks.bigram, 2)) == (4.17, 3.24, 2.36)


def test_counting_in_chunks_of_any_size_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    ids = np.random.default_rng(1).integers(0, 5, 1000, dtype=np.int32)
    whole = Baselines.of(ids[:900], ids[900:], 6)
    for size in (1, 2, 7, 899, 900, 901):
        monkeypatch.setattr(metrics, "CHUNK", size)
        assert Baselines.of(ids[:900], ids[900:], 6) == whole


def test_a_token_that_the_training_split_lacks_has_a_high_but_finite_loss() -> None:
    marks = Baselines.of(np.array([0, 1, 0, 1]), np.array([0, 2, 2]), 3)
    assert marks.unigram == pytest.approx(math.log(7))  # (0 + 1) / (4 + 3)
    assert marks.bigram == pytest.approx((math.log(5) + math.log(3)) / 2)  # after 0: 1 / (2 + 3); after 2: 1 / 3
