"""How a text is divided: its splits, its pieces, and the part of a long text that merges are learned from."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.checks.words import foreign_merges
from trainer.corpus import load_corpus
from trainer.splits import (
    CHARACTERS_PER_TOKEN,
    MAX_VALIDATION,
    PIECE_CHARACTERS,
    merge_pieces,
    split_index,
    split_pieces,
)
from trainer.tokenizer import BPETokenizer

STEADY = settings(derandomize=True, database=None)
FOLIO = load_corpus("folio")
TRAINED = FOLIO.text[: FOLIO.split]


def test_the_validation_split_is_the_last_tenth_and_no_more_than_that_of_a_long_text() -> None:
    assert split_index("x" * 1_000) == 900
    assert split_index("x" * 10 * MAX_VALIDATION) == 9 * MAX_VALIDATION
    assert split_index("x" * 20 * MAX_VALIDATION) == 19 * MAX_VALIDATION


@STEADY
@given(st.lists(st.sampled_from(["\n", "a" * 400, "b" * 2_500])).map("".join))
def test_pieces_are_the_whole_text_and_end_at_line_feeds(text: str) -> None:
    pieces = list(split_pieces(text))
    assert "".join(pieces) == text
    assert all(piece.endswith("\n") and len(piece) > PIECE_CHARACTERS for piece in pieces[:-1])


LONG_LINES = TRAINED.replace("\n", " ")


@pytest.mark.parametrize("text", [TRAINED, LONG_LINES], ids=["lines", "one line"])
@pytest.mark.parametrize("vocab_size", [3, 321, 577, 1_000])
def test_merges_are_learned_from_a_part_of_a_long_text_spread_over_all_of_it(vocab_size: int, text: str) -> None:
    pieces = merge_pieces(text, vocab_size)
    wanted = CHARACTERS_PER_TOKEN * vocab_size
    assert wanted <= sum(map(len, pieces)) < wanted + PIECE_CHARACTERS
    places = [0]
    for piece in pieces:
        places.append(text.index(piece, places[-1]))
    gaps = np.diff([*places, len(text)])
    assert gaps.max() <= len(text) / len(pieces) + 1


@pytest.mark.parametrize("text", [TRAINED, LONG_LINES, "", "a"], ids=["lines", "one line", "nothing", "a letter"])
def test_merges_of_many_tokens_are_learned_from_the_whole_text(text: str) -> None:
    assert "".join(merge_pieces(text, 2_000)) == text


@pytest.mark.parametrize("vocab_size", [321, 1_000])
def test_merges_of_a_part_spell_the_text_in_hardly_more_tokens_than_those_of_all_of_it(
    vocab_size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = BPETokenizer.of(TRAINED, vocab_size)
    assert foreign_merges(merge_pieces(TRAINED, vocab_size), part.vocabulary) == []
    monkeypatch.setattr("trainer.splits.CHARACTERS_PER_TOKEN", 10**9)
    whole = BPETokenizer.of(TRAINED, vocab_size)
    assert part.vocabulary != whole.vocabulary
    assert len(part.encode(TRAINED)) < 1.005 * len(whole.encode(TRAINED))
