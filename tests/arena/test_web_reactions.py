"""Three signs for a result: off by default, counted and nothing else, and not faster than a person taps."""

from __future__ import annotations

from pathlib import Path

from flask.testing import FlaskClient

from arena.services import bracket
from arena.services.queries import console_view
from arena.web.reaction_counts import MAX_PHONES, PAUSE_SECONDS, ReactionCounts
from tests.support.evening import Evening
from tests.support.pages import token_of, vote


def decided(folder: Path, **settings: int) -> Evening:
    """An event with one closed match of four verses."""
    evening = Evening(folder, **settings).create()
    evening.voting(4)
    vote(evening.phone(), "left")
    bracket.close_match(evening.db, "r1m1", poll_round=0, now=evening.now)
    return evening


def react(phone: FlaskClient, sign: str) -> int:
    return phone.post("/react", data={"token": token_of(phone.get("/")), "sign": sign}).status_code


def test_reactions_are_off_unless_the_settings_turn_them_on(tmp_path: Path) -> None:
    evening = decided(tmp_path / "event")
    phone = evening.phone()
    assert "/react" not in phone.get("/").text and "data-reactions" not in phone.get("/stage").text
    assert phone.get("/reactions").status_code == 404
    evening.end()


def test_a_reaction_is_counted_and_leaves_no_record(tmp_path: Path) -> None:
    evening = decided(tmp_path / "event", reactions=1)
    before = console_view(evening.db, now=evening.now).log_number
    phone, other = evening.phone(), evening.phone()
    assert react(phone, "heart") == 303 and react(other, "star") == 303
    assert phone.get("/reactions").json == {"heart": 1, "star": 1, "mark": 0}
    assert 'data-reactions="/reactions"' in phone.get("/stage").text
    assert console_view(evening.db, now=evening.now).log_number == before
    evening.end()


def test_one_phone_reacts_once_in_two_seconds_and_with_three_signs_only(tmp_path: Path) -> None:
    evening = decided(tmp_path / "event", reactions=1)
    phone = evening.phone()
    for sign in ("heart", "heart", "<script>", "", "heart"):
        assert react(phone, sign) == 303
    assert phone.get("/reactions").json == {"heart": 1, "star": 0, "mark": 0}
    evening.now += PAUSE_SECONDS
    react(phone, "mark")
    assert phone.get("/reactions").json == {"heart": 1, "star": 0, "mark": 1}
    evening.end()


def test_no_reaction_is_taken_while_a_match_is_open(tmp_path: Path) -> None:
    evening = Evening(tmp_path / "event", reactions=1).create()
    evening.voting(2)
    phone = evening.phone()
    assert "/react" not in phone.get("/").text
    assert react(phone, "heart") == 303
    assert phone.get("/reactions").json["heart"] == 0
    evening.end()


def test_the_memory_of_reactions_is_bounded() -> None:
    counts = ReactionCounts()
    for number in range(MAX_PHONES + 10):
        counts.add("heart", str(number), 100.0)
    assert counts.counts["heart"] == MAX_PHONES + 10 and len(counts._last) <= MAX_PHONES
