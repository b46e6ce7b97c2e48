"""`arena tickets` and `arena event admission`: cards from a terminal."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.arena.test_serving_commands import Desk
from tests.support.evening import Evening
from trainer.verse.ticket import is_ticket


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    Evening(tmp_path / "event").create().end()
    return Desk(tmp_path / "event")


def codes(page: str) -> list[str]:
    return re.findall(r'class="code">([^<]*)</p>', page.replace("<br>", ""))


def test_a_sheet_has_a_card_for_each_guest_and_is_the_only_place_with_the_codes(desk: Desk) -> None:
    output = desk.does("tickets", "23", "--spare", "4", "--address", "http://verses.test:8000/")
    path = desk.folder / "tickets-1.html"
    assert "27 cards, number 1 to 27" in output and str(path) in output
    assert path.stat().st_mode & 0o777 == 0o600
    page = path.read_text(encoding="utf-8")
    found = codes(page)
    assert len(set(found)) == 27 and all(map(is_ticket, found))
    assert not any(code in output for code in found)
    numbers = [int(number) for number in re.findall(r"card (\d+)", page.split("</style>")[1])]
    assert sorted(numbers) == list(range(1, 28)) and numbers[:23] != list(range(1, 24)), "shuffled"
    assert numbers[23:] == [24, 25, 26, 27] and page.count("spare, not valid yet") == 4
    assert page.count('<section class="page">') == 3 + 1, "spare cards have a page of their own"
    assert page.count("<svg") == 27 and "verses.test:8000/join" in page and "<script" not in page
    assert "Evening &lt;of&gt; verses" in page
    assert desk.does("tickets", "2", "--address", "http://verses.test").count("number 28 to 29") == 1
    assert (desk.folder / "tickets-2.html").exists()
    name = desk.folder / "x.html"
    desk.does("tickets", "1", "--address", "http://verses.test", "--output", str(name))
    assert "name another file" in desk.refuses("tickets", "1", "--address", "http://verses.test", "--output", str(name))
    assert "30 valid cards" not in desk.does("tickets", "list"), "the refused command made none"


def test_cards_lead_to_the_path_of_their_event_and_to_no_other(tmp_path: Path) -> None:
    Evening(tmp_path / "event", public_url="https://verses.example.org/e/spring").create().end()
    desk = Desk(tmp_path / "event")
    for number, address in enumerate(["http://x.example/", "http://x.example/e/spring"], 1):
        desk.does("tickets", "1", "--address", address)
        page = (desk.folder / f"tickets-{number}.html").read_text(encoding="utf-8")
        assert "x.example/e/spring/join" in page and "spring/e/spring" not in page
    assert "end with /e/spring" in desk.refuses("tickets", "1", "--address", "http://x.example/e/summer")


def test_cards_are_replaced_activated_and_voided_by_number_or_by_code(desk: Desk) -> None:
    desk.does("tickets", "3", "--spare", "2", "--address", "http://verses.test")
    page = (desk.folder / "tickets-1.html").read_text(encoding="utf-8")
    by_number = dict(zip(re.findall(r"card (\d+)", page.split("</style>")[1]), codes(page), strict=True))
    assert "hand out card 4" in desk.does("tickets", "replace", by_number["2"].lower())
    assert "1 card is valid now" in desk.does("tickets", "activate", "5")
    assert "1 card is void now" in desk.does("tickets", "void", "3", "--yes")
    listed = desk.does("tickets", "list")
    assert "3 valid cards, 0 spare, 2 void" in listed
    assert re.findall(r"card (\d+) +void", listed) == ["2", "3"]
    assert "only letters and digits" in desk.refuses("tickets", "void", by_number["1"][:-1] + "?", "--yes")
    assert "card 77 does not exist" in desk.refuses("tickets", "void", "77", "--yes")
    assert "no spare card is left" in desk.refuses("tickets", "replace", "1")
    assert "3 cards are void now" in desk.does("tickets", "void", "--batch", "1", "--yes")
    assert "name cards, or a batch" in desk.refuses("tickets", "void", "--yes")


def test_the_terminal_shows_and_chooses_who_votes(desk: Desk) -> None:
    assert "open voting" in desk.does("event", "admission")
    assert "one vote a card" in desk.does("event", "admission", "tickets")
    shown = desk.does("event", "admission", "pin")
    assert re.search(r"http://127.0.0.1:8000/stage\?key=[0-9a-f]{20}", shown)
    assert "voting by the room's PIN" in desk.does("event", "show")
    assert "Invalid value" in desk.refuses("event", "admission", "lottery")


def test_a_sheet_that_cannot_be_written_leaves_no_valid_cards(desk: Desk) -> None:
    desk.refuses("tickets", "5", "--address", "http://verses.test", "--output", str(desk.folder / "no" / "x.html"))
    assert "0 valid cards, 0 spare, 5 void" in desk.does("tickets", "list")
    assert "must look like" in desk.refuses("tickets", "5", "--address", "verses.test")
