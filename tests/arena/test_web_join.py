"""How a phone gets the right to vote, as a browser and a script at one address see it."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from sqlalchemy import func, select
from werkzeug.test import TestResponse

from arena.services import bracket, drawing, queries, tickets, voters
from arena.services.tickets import Card
from arena.store.schema import PinVoter, Vote
from arena.web.cookies import stage_key
from tests.support.evening import Evening
from tests.support.pages import hidden, post, token_of
from trainer.verse.ticket import new_ticket

FLOOD = 400  # votes under fresh cookies from one address


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Evening]:
    """An event with a bracket of two verses, of which no match was opened."""
    evening = Evening(tmp_path_factory.mktemp("join") / "event", public_url="http://192.168.7.7:8000").create()
    evening.draw(2)
    yield evening
    evening.end()


@pytest.fixture
def evening(tmp_path: Path, drawn: Evening) -> Iterator[Evening]:
    """A copy of that event."""
    drawn.db.dispose()
    shutil.copytree(drawn.folder, tmp_path / "event")
    copied = Evening(tmp_path / "event")
    yield copied
    copied.end()


def cards_of(evening: Evening, count: int = 3, spare: int = 1) -> list[Card]:
    voters.set_admission(evening.db, "tickets", now=evening.now)
    return tickets.issue(evening.db, count, spare, now=evening.now)


def begin(evening: Evening) -> None:
    bracket.open_match(evening.db, "r1m1", seconds=600, now=evening.now)


def pin(evening: Evening) -> str:
    return voters.room_pin(evening.settings.secret_key, now=evening.now)[0]


def join(client: FlaskClient, code: str) -> TestResponse:
    return post(client, "/join", "/join", code=code)


def vote_anyhow(client: FlaskClient) -> TestResponse:
    """Vote as a script does, that needs no button."""
    page = client.get("/")
    fields = {name: hidden(page, name) for name in ("token", "match", "poll_round")}
    return client.post("/vote", data={**fields, "side": "left"})


def votes(evening: Evening) -> int:
    with evening.db.reading() as session:
        return session.scalar(select(func.count()).select_from(Vote)) or 0


def test_four_hundred_votes_under_fresh_cookies_from_one_address_are_none_where_tickets_count(evening: Evening) -> None:
    cards = cards_of(evening)
    begin(evening)
    statuses = [vote_anyhow(evening.phone()).status_code for _ in range(FLOOD)]
    assert set(statuses) == {403} and votes(evening) == 0
    for _ in range(20):  # one card in many browsers
        phone = evening.phone()
        assert join(phone, cards[0].code).status_code == 303
        assert vote_anyhow(phone).status_code == 303
    assert votes(evening) == 1


def test_whoever_knows_the_pin_joins_sixty_browsers_and_then_twelve_a_minute_from_one_address(evening: Evening) -> None:
    voters.set_admission(evening.db, "pin", now=evening.now)
    begin(evening)
    for _ in range(100):
        phone = evening.phone()
        join(phone, pin(evening))
        vote_anyhow(phone)
    assert votes(evening) == 60
    refused = join(evening.phone(), pin(evening))
    assert refused.status_code == 429 and int(refused.headers["Retry-After"]) == 5
    assert "wait 5 seconds" in refused.text
    evening.now += 60
    answers = [join(evening.phone(), pin(evening)).status_code for _ in range(20)]
    assert answers.count(303) == 12
    with evening.db.reading() as session:
        assert session.scalar(select(func.count()).select_from(PinVoter)) == 72
    evening.now += 60  # another address is not concerned
    elsewhere = evening.app.test_client()
    page = elsewhere.get("/join", environ_base={"REMOTE_ADDR": "192.168.7.8"})
    data = {"token": token_of(page), "code": pin(evening)}
    answer = elsewhere.post("/join", data=data, environ_base={"REMOTE_ADDR": "192.168.7.8"})
    assert answer.status_code == 303


def test_wrong_pins_are_thirty_from_one_address_and_then_the_right_one_waits_too(evening: Evening) -> None:
    voters.set_admission(evening.db, "pin", now=evening.now)
    wrong = f"{(int(pin(evening)) + 1) % 10**6:06d}"
    answers = [join(evening.phone(), wrong) for _ in range(32)]
    assert [answer.status_code for answer in answers[:30]] == [403] * 30
    assert "changes every minute" in answers[0].text
    assert answers[30].status_code == 429 and join(evening.phone(), pin(evening)).status_code == 429
    evening.now += 7
    assert join(evening.phone(), pin(evening)).status_code == 303


def test_a_ticket_typed_in_any_spelling_votes_and_is_in_no_address(evening: Evening) -> None:
    cards = cards_of(evening)
    phone = evening.phone()
    assert "Type the code of your card" in phone.get("/").text
    answer = join(phone, cards[0].code.lower().replace("-", " ").replace("0", "o"))
    assert (answer.status_code, answer.headers["Location"]) == (303, "/")
    assert "Type the code" not in phone.get("/").text
    assert "This phone votes with card 1" in phone.get("/join").text
    begin(evening)
    page = phone.get("/")
    assert "Which verse is better?" in page.text and cards[0].code not in page.text
    assert vote_anyhow(phone).status_code == 303 and votes(evening) == 1


def test_a_phone_whose_card_replaced_a_lost_one_asks_for_its_own_page(evening: Evening) -> None:
    cards = cards_of(evening)
    tickets.replace(evening.db, 1, now=evening.now)
    phone, other = evening.phone(), evening.phone()
    join(phone, cards[3].code)
    join(other, cards[1].code)
    evening.now += 1
    for _ in range(2):
        assert " data-push" in other.get("/").text and " data-push" not in phone.get("/").text
        begin(evening)


def test_a_phone_without_a_ticket_reads_along_and_is_told_what_to_do(evening: Evening) -> None:
    cards = cards_of(evening)
    begin(evening)
    reader = evening.phone()
    page = reader.get("/").text
    assert page.count('<div class="verse"') == 2 and "vote-left" not in page and 'href="/join"' in page
    faults = {
        cards[0].code[:-1]: (422, "20 letters and digits, and this has 19"),
        "!": (422, "only letters and digits"),
        ("B" if cards[0].code[0] == "A" else "A") + cards[0].code[1:]: (422, "compare it with the card"),
        new_ticket(): (403, "has not issued this ticket"),
        cards[3].code: (403, "Card 4 is a spare one"),
    }
    for code, (status, sentence) in faults.items():
        answer = join(reader, code)
        assert answer.status_code == status and sentence in answer.text, code
        assert f'value="{code}"' in answer.text, "what was typed stays, to be compared with the card"
    tickets.void(evening.db, [2], now=evening.now)
    assert "is void" in join(reader, cards[1].code).text
    phone = evening.phone()
    join(phone, cards[0].code)
    tickets.void(evening.db, [1], now=evening.now)
    assert "This ticket is void" in phone.get("/").text and vote_anyhow(phone).status_code == 403


def test_guesses_of_tickets_are_limited_and_the_right_ticket_is_let_in_all_the_same(evening: Evening) -> None:
    cards = cards_of(evening)
    statuses = [join(evening.phone(), new_ticket()).status_code for _ in range(35)]
    assert statuses == [403] * 30 + [429] * 5
    header = {"Authorization": f"Bearer {new_ticket()}"}
    assert join(evening.phone(), cards[0].code).status_code == 303
    drawing.undo_draw(evening.db, now=evening.now)
    evening.open()
    guess = evening.phone().post("/api/v1/entries?name=Eve", headers=header, data=b"x")
    assert (guess.status_code, guess.get_json()["error"]) == (429, "attempts")
    evening.now += 6
    guess = evening.phone().post("/api/v1/entries?name=Eve", headers=header, data=b"x")
    assert (guess.status_code, guess.get_json()["error"]) == (403, "ticket-unknown")
    without = evening.phone().post(
        "/api/v1/entries?name=Eve", headers={"Authorization": "Bearer " + "a" * 22}, data=b"x"
    )
    assert (without.status_code, without.get_json()["error"]) == (403, "ticket-needed")


def test_the_pin_is_on_the_stage_that_the_console_opens_and_nowhere_else(evening: Evening) -> None:
    voters.set_admission(evening.db, "pin", now=evening.now)
    shown = f"{pin(evening)[:3]} {pin(evening)[3:]}"
    home, guesser, projector = evening.phone(), evening.phone(), evening.phone()
    guesser.get("/stage?key=" + "0" * 20)
    for client in (home, guesser):
        for path in ("/stage", "/", "/join", "/results", "/api/v1/state", "/api/v1/event"):
            assert shown not in client.get(path).text and pin(evening) not in client.get(path).text
    address = re.search(r'href="http://127.0.0.1:8000(/stage\?key=\w+)"', evening.organizer().get("/console").text)
    assert address and address[1] == f"/stage?key={stage_key(evening.settings)}"
    answer = projector.get(address[1])
    assert answer.headers["Location"] == "/stage" and "Path=/stage" in answer.headers["Set-Cookie"]
    page = projector.get("/stage").text
    assert shown in page and "?key=" not in page
    turn = re.search(r'data-turn="([\d.]+)"', page)
    assert turn and 0 < float(turn[1]) - evening.now <= 60
    begin(evening)
    assert shown in projector.get("/stage").text, "late guests join during a match"


@pytest.mark.parametrize(
    ("mode", "on_stage", "in_results"),
    [
        ("tickets", "One card, one vote", "Voting by ticket: one vote a card, 3 cards."),
        ("pin", "The PIN is on the stage", "one vote a browser, 0 browsers."),
        ("open", "Open voting: one vote a browser", "Open voting: one vote a browser."),
    ],
)
def test_the_stage_and_the_results_say_who_votes(evening: Evening, mode: str, on_stage: str, in_results: str) -> None:
    cards_of(evening)
    voters.set_admission(evening.db, mode, now=evening.now)
    phone = evening.phone()
    assert on_stage in phone.get("/stage").text
    assert in_results in phone.get("/results").text
    assert mode == phone.get("/api/v1/state").get_json()["admission"]


def test_the_console_chooses_who_votes_and_replaces_cards_at_the_door(evening: Evening) -> None:
    desk = evening.organizer()

    def send(action: str, **fields: object) -> TestResponse:
        page = desk.get("/console").text
        data = {"token": token_of(page), "seen": hidden(page, "seen"), **fields}
        return desk.post(f"/console/{action}", data=data)

    assert send("admission", mode="tickets").status_code == 303
    assert "There are no cards yet" in desk.get("/console").text
    cards = cards_of(evening)
    assert "There are no cards yet" not in desk.get("/console").text
    assert "Hand out card 4" in send("tickets/replace", number="1").text
    missing = send("tickets/replace", number="2")
    assert missing.status_code == 409 and "No spare card is left" in missing.text
    assert send("tickets/void", number="3").status_code == 303
    assert send("tickets/activate", number="99").status_code == 404
    assert queries.console_view(evening.db, now=evening.now).tickets.valid == 2
    phone = evening.phone()
    assert join(phone, cards[3].code).status_code == 303
    begin(evening)
    assert "Change who may vote" not in desk.get("/console").text
    refused = send("admission", mode="open")
    assert refused.status_code == 409 and "a match was opened" in refused.text
