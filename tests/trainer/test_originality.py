"""The longest passage that a verse shares with a text: exact, and what it says of people's own verse."""

from __future__ import annotations

import statistics

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from trainer.corpus import load_corpus
from trainer.verse.originality import FLAG, MAX_SOURCE, REJECT, Passage, Source, fold


def folded_places(text: str) -> list[tuple[str, int]]:
    """Each folded character with its place in the text, character by character; a space has the place before it."""
    places: list[tuple[str, int]] = []
    gap = False
    for at, character in enumerate(text):
        if not character.isalnum():
            gap = bool(places)
            continue
        if gap:
            places.append((" ", at - 1))
        gap = False
        places += [(folded, at) for folded in character.casefold()]
    return places


def by_trying_everything(text: str, verse: str) -> Passage:
    """The same by looking for every piece of the verse, the longest and first ones first."""
    places = folded_places(text)
    source = "".join(character for character, _ in places)
    mine = "".join(character for character, _ in folded_places(verse))
    for length in range(len(mine), 0, -1):
        for start in range(len(mine) - length + 1):
            piece = mine[start : start + length]
            if (at := source.find(piece)) >= 0 and piece != " ":
                inner = [place for character, place in places[at : at + length] if character != " "]
                line = text[: inner[0]].count("\n") + 1
                return Passage(length, line, text[inner[0] : inner[-1] + 1])
    return Passage(0, 0, "")


SMALL = st.text(alphabet="abAB \n.ß", max_size=60)


@given(SMALL, SMALL)
@example("ß", "ss")
@example("xß ß", "s s")
@example("a a a a a", "a a a")
@example("", "")
@example("...", "a")
@example("a b", " - ")
def test_the_longest_passage_is_the_one_that_trying_every_piece_finds(text: str, verse: str) -> None:
    assert Source(text).longest_passage(verse) == by_trying_everything(text, verse)


@given(st.text(max_size=40), st.text(max_size=40))
def test_the_longest_passage_is_found_in_any_script(text: str, verse: str) -> None:
    assert fold(text) == "".join(character for character, _ in folded_places(text))
    assert Source(text).longest_passage(verse) == by_trying_everything(text, verse)


def test_case_punctuation_and_spaces_do_not_hide_a_quotation() -> None:
    text = "First line.\n\nWas this the face that launch'd a thousand ships,\nAnd burnt the topless towers of Ilium?\n"
    passage = Source(text).longest_passage("O! WAS THIS   the face\nthat (launch'd) a -- thousand ships; and more")
    assert passage.quoted == "Was this the face that launch'd a thousand ships,\nAnd"
    assert passage.line == 3
    assert passage.length == len(" was this the face that launch d a thousand ships and ")


def test_a_text_of_one_letter_and_a_verse_within_it_take_no_time() -> None:
    source = Source("a" * 50_000)
    assert source.longest_passage("a" * 480) == Passage(480, 1, "a" * 480)


def test_the_folio_is_found_again_line_by_line() -> None:
    text = load_corpus("folio").text
    source = Source(text)
    lines = text.split("\n")
    for at in range(100, len(lines) - 10, len(lines) // 20):
        verse = "\n".join(lines[at : at + 6]).upper()
        passage = source.longest_passage(verse)
        assert passage.length >= len(fold(verse)) > REJECT
        assert fold(passage.quoted) == fold(verse)
        assert at <= passage.line - 1 <= at + 1  # an empty line has nothing to begin with


def test_people_s_own_verse_is_rarely_flagged_and_never_rejected() -> None:
    """The last tenth of the folio, in pieces of a verse's length, against the rest: as the docstring says."""
    text = load_corpus("folio").text
    split = int(0.9 * len(text))
    source, rest = Source(text[:split]), text[split:]
    pieces = [rest[at : at + 300] for at in range(0, len(rest) - 299, 300)]
    lengths = [source.longest_passage(piece).length for piece in pieces]
    assert (len(pieces), statistics.median(lengths), max(lengths)) == (350, 18, 45)
    assert sum(length >= FLAG for length in lengths) == 2
    assert max(lengths) < REJECT


def test_a_text_too_long_to_compare_with_is_refused() -> None:
    with pytest.raises(ValueError, match="16,777,217 characters; at most 16,777,216"):
        Source("a" * (MAX_SOURCE + 1))
