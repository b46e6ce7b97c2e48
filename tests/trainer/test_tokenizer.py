"""Characters to ids and back."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.errors import CheckpointError, UnknownCharacter
from trainer.tokenizer import CharTokenizer
from trainer.verse.errors import VocabularyError
from trainer.verse.vocabulary import Vocabulary

STEADY = settings(derandomize=True, database=None)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=2).filter(lambda text: len(set(text)) > 1)


@STEADY
@given(TEXT)
def test_any_text_comes_back_as_it_was(text: str) -> None:
    tokenizer = CharTokenizer.of(text)
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_a_long_text_is_encoded_in_pieces_as_it_is_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "banana bandana 🌙\n" * 5
    tokenizer = CharTokenizer.of(text)
    whole = tokenizer.encode(text).tolist()
    monkeypatch.setattr("trainer.tokenizer.CHARACTERS", 7)
    assert tokenizer.encode(text).tolist() == whole
    with pytest.raises(UnknownCharacter) as unknown:
        tokenizer.encode(text + "x")
    assert (unknown.value.character, unknown.value.position) == ("x", len(text))


def test_ids_go_by_the_order_of_the_characters() -> None:
    tokenizer = CharTokenizer.of("banana bandana\n")
    assert tokenizer.vocabulary.symbols == "\n abdn"
    assert tokenizer.encode("band").tolist() == [3, 2, 5, 4]


def test_a_vocabulary_in_any_order_encodes_by_its_own_ids() -> None:
    assert CharTokenizer(Vocabulary.chars("zaey")).encode("easy".replace("s", "z")).tolist() == [2, 1, 0, 3]


@pytest.mark.parametrize(("prompt", "position"), [("Zen", 0), ("ben!", 3), ("be\U0001f319", 2), ("b\udcffe", 1)])
def test_an_unknown_character_is_named_with_its_place(prompt: str, position: int) -> None:
    with pytest.raises(UnknownCharacter, match=f"character {position + 1} of the prompt") as caught:
        CharTokenizer.of("be not\n").encode(prompt)
    assert caught.value.position == position
    assert caught.value.character == prompt[position]
    assert " beno" in str(caught.value)  # what the prompt may be written with


def test_nothing_encodes_to_nothing() -> None:
    assert CharTokenizer.of("ab").encode("").tolist() == []


def test_a_text_of_one_symbol_has_nothing_to_choose_from() -> None:
    with pytest.raises(VocabularyError, match="2 to"):
        CharTokenizer.of("aaaa")


def test_another_kind_of_tokenizer_is_refused() -> None:
    with pytest.raises(CheckpointError, match="bpe"):
        CharTokenizer(Vocabulary.bpe("ab", [(0, 1)]))
