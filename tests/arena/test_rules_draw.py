"""The rules of the draw: published values for seeds, ties and sides, and their statistical fairness."""

from __future__ import annotations

import hashlib
from collections import Counter

from arena.rules.draw import draw_key, draw_seeds, draw_tie, left_side
from arena.rules.tally import Tally, outcome


def test_the_draw_key_equals_the_published_value() -> None:
    assert draw_key("thimble", "a") == "280a77b6a76203c27b75591a94768662f76a53b69f70bdc508f4d24927bc296d"
    assert draw_key("Öl", "r1m1/b") == hashlib.sha256("verse-draw-1Ölr1m1/b".encode()).hexdigest()


def test_the_draw_depends_on_the_word_and_the_entries_only() -> None:
    ids = [f"{n:032x}" for n in range(50)]
    first = draw_seeds("thimble", ids)
    assert first == draw_seeds("thimble", reversed(ids)) and sorted(first) == ids
    assert first != draw_seeds("thimbles", ids)


def test_over_many_words_every_entry_is_first_about_as_often() -> None:
    ids = ["a", "b", "c", "d"]
    firsts = Counter(draw_seeds(f"word {n}", ids)[0] for n in range(4_000))
    assert all(900 < firsts[entry] < 1_100 for entry in ids)


def test_a_drawn_tie_is_fair_over_matches_and_does_not_depend_on_the_sides() -> None:
    wins = Counter(draw_tie("thimble", f"r1m{n}", "a", "b") for n in range(4_000))
    assert 1_850 < wins["a"] < 2_150
    assert all(draw_tie("w", f"m{n}", "a", "b") == draw_tie("w", f"m{n}", "b", "a") for n in range(50))


def test_about_half_of_the_voters_see_either_verse_on_the_left() -> None:
    sides = Counter(left_side(hashlib.sha256(b"%d" % n).hexdigest(), "r1m1") for n in range(4_000))
    assert 1_850 < sides["upper"] < 2_150
    voter = hashlib.sha256(b"1").hexdigest()
    assert len({left_side(voter, f"r1m{n}") for n in range(30)}) == 2


def test_the_side_with_more_votes_wins() -> None:
    assert outcome(Tally(3, 2), 0) == "upper" and outcome(Tally(0, 1), 1) == "lower"


def test_a_tie_is_voted_on_once_more_and_then_drawn() -> None:
    for votes in (0, 7):
        assert outcome(Tally(votes, votes), 0) == "revote"
        assert outcome(Tally(votes, votes), 1) == "draw"
