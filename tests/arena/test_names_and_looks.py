"""Names and verses as an audience sees them: what is refused at the door, what is flagged, what is told apart."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from arena.cli import main
from arena.rules.names import skeleton
from arena.services.claims import take_claim
from arena.services.queries import list_entries
from arena.web.filters import first_words
from tests.support.bundles import CONFIG, RECIPE, Poet, header_of, verse
from tests.support.evening import Evening, secret_of
from trainer.verse.vocabulary import Vocabulary


def bundle_of(symbols: str, prompt: tuple[int, ...] = (0,)) -> bytes:
    """A verse of these characters only; it passes `arena verify`."""
    config = replace(CONFIG, vocab_size=len(symbols))
    poet = replace(Poet.random(1, config), vocabulary=Vocabulary.chars(symbols))
    return poet.pack(poet.write(replace(RECIPE, prompt_ids=prompt, temperature=200, tokens=40)))


@pytest.mark.parametrize(
    ("symbols", "says"),
    [
        ("a\u0301", "marks over or under one letter"),
        ("\u0e48\u0e49", "marks over or under one letter"),
        ("\u0301\u200b", "marks over or under one letter"),
        ("\u3164\u115f", "no character that can be seen"),
        ("\u2800\n", "no character that can be seen"),
        ("\u200b\u2060", "no character that can be seen"),
        ("\u00a0\n", "no character that can be seen"),
    ],
)
def test_a_verse_that_cannot_be_shown_is_refused_with_the_reason(evening: Evening, symbols: str, says: str) -> None:
    evening.begin()
    answer = evening.phone().post(
        "/api/v1/entries?name=Ada",
        data=header_of(bundle_of(symbols)),
        headers={"Authorization": f"Bearer {secret_of('ada')}"},
    )
    assert answer.status_code == 422
    assert answer.json["error"] == "over-limits" and says in answer.json["message"]


def test_a_prompt_of_stacked_marks_is_refused_too(evening: Evening) -> None:
    evening.begin()
    answer = evening.phone().post(
        "/api/v1/entries?name=Ada",
        data=header_of(bundle_of("abcd\u0301", prompt=(0, *[4] * 40))),
        headers={"Authorization": f"Bearer {secret_of('ada')}"},
    )
    assert answer.status_code == 422 and "marks" in answer.json["message"]


def test_arena_verify_is_about_exactness_and_not_about_looks(tmp_path: Path) -> None:
    (tmp_path / "a.verse").write_bytes(bundle_of("abcdefgh\u0301\u0302"))
    assert CliRunner().invoke(main, ["verify", str(tmp_path / "a.verse")]).exit_code == 0


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("Ada Lovelace", "Аdа Lоvelасе"),  # Cyrillic
        ("Ada", "ＡＤＡ"),
        ("Ada", "Ada\u200b"),
        ("Ada", "A d a"),
        ("Ada", "Αdα"),  # Greek
        ("José", "Jose"),
        ("Ilya", "llya"),
        ("Bob", "B0b"),
        ("modern", "modem"),
        ("Ada", "𝒜𝒹𝒶"),
    ],
)
def test_names_that_look_the_same_have_one_skeleton(name: str, other: str) -> None:
    assert skeleton(name) == skeleton(other)


def test_names_that_look_different_have_different_skeletons() -> None:
    names = ["Ada", "Adam", "Eda", "Анна", "Мария", "Ἀθηνᾶ", "月", "日", "🌙", "⭐", "!!", "-", "Ann", "Anne", "نور"]
    assert len({skeleton(name) for name in names}) == len(names)


def enter(evening: Evening, name: str, number: int) -> str:
    header = header_of(verse(number))
    secret = secret_of(f"person {number}")
    spool = (evening.db, evening.bundles, evening.spool)
    return take_claim(*spool, header, secret, name, key=evening.key, now=evening.now).entry


def test_a_name_in_disguise_is_flagged_to_the_organizer_and_two_verses_of_one_person_are_not(evening: Evening) -> None:
    evening.begin()
    first, second = enter(evening, "Ada Lovelace", 1), enter(evening, "Аdа Lоvelасе", 2)
    enter(evening, "Somebody", 3)
    alike = {entry.entry: entry.alike for entry in list_entries(evening.db)}
    assert alike[first] == ["Аdа Lоvelасе"] and alike[second] == ["Ada Lovelace"]
    assert sum(bool(names) for names in alike.values()) == 2
    page = evening.organizer().get("/console").text
    assert page.count("looks like the name of another person") == 2
    listed = CliRunner().invoke(main, ["entry", "list", "--dir", str(evening.folder)]).output
    assert listed.count("another owner's name looks the same") == 2
    header = header_of(verse(4))  # by the first person
    spool = (evening.db, evening.bundles, evening.spool)
    take_claim(*spool, header, secret_of("person 3"), "Somebody", key=evening.key, now=evening.now)
    assert sum(bool(entry.alike) for entry in list_entries(evening.db)) == 2


def test_two_people_with_one_name_are_told_apart_by_their_numbers_once_both_are_shown(evening: Evening) -> None:
    evening.begin()
    for number in range(2):
        entry, data = enter(evening, "Ada", number), verse(number)
        offset = len(header_of(data))
        evening.piece(f"person {number}", entry, offset, data[offset:])
    evening.verify_all()
    evening.close_and_draw()
    evening.decide("r1m1", list_entries(evening.db)[0].text)
    page = evening.phone().get("/results").text
    assert "Ada (no. 1)" in page and "Ada (no. 2)" in page


def test_first_words_are_cut_before_a_letter_and_not_inside_one() -> None:
    assert first_words("👨‍👩‍👧👨‍👩‍👧👨‍👩‍👧👨‍👩‍👧", length=9) == "👨‍👩‍👧…"
    assert first_words("🇩🇪🇫🇷🇮🇹🇪🇸", length=4) == "🇩🇪…"
    assert first_words("e\u0323\u0301" * 20, length=8) == "e\u0323\u0301" * 2 + "…"


def test_names_of_any_direction_stand_for_themselves_on_every_page(evening: Evening) -> None:
    evening.begin()
    enter(evening, "نور (1)", 1)
    assert "<bdi>نور (1)</bdi>" in evening.organizer().get("/console").text
