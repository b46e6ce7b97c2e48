"""Tickets against a real server: scanned by a phone, given to the trainer, and missing."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from arena.demo.simulated_voters import Form, SimulatedVoter, VoterError
from arena.services import bracket, queries, tickets, voters
from arena.services.tickets import Card
from tests.support.browser import PHONE, needs_chromium
from tests.support.bundles import verses
from tests.support.evening import Evening
from tests.support.server import within
from tests.support.small_models import small_checkpoint
from trainer.checkpoint import write_checkpoint
from trainer.cli import cli
from trainer.errors import EventRefused, TicketError
from trainer.verse.ticket import new_ticket

pytestmark = pytest.mark.slow
Served = tuple[Evening, list[Card]]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A served event that takes tickets; its first two tests enter verses, the others vote."""
    evening = Evening(tmp_path_factory.mktemp("tickets") / "event", now=None).begin()
    for number, bundle in enumerate(verses(2)):
        evening.enter(f"poet{number}", bundle)
    evening.verify_all()
    voters.set_admission(evening.db, "tickets", now=evening.now)
    cards = tickets.issue(evening.db, 6, 1, now=evening.now)
    evening.serve()
    yield evening, cards
    evening.end()


def test_the_trainer_enters_with_a_ticket_in_any_spelling_and_names_other_authors(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evening, cards = served
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    write_checkpoint(tmp_path / "a.safetensors", small_checkpoint("AB"))
    command = ["submit", "--ckpt", "a.safetensors", "--prompt", "AB", "--tokens", "40", "--to", evening.url]
    command += ["--name", "Ada"]
    without = CliRunner().invoke(cli, command)
    assert isinstance(without.exception, TicketError) and "--ticket" in str(without.exception)
    mistyped = CliRunner().invoke(cli, [*command, "--ticket", cards[0].code[:-1]])
    assert isinstance(mistyped.exception, TicketError) and "has 19" in str(mistyped.exception)
    unknown = CliRunner().invoke(cli, [*command, "--ticket", new_ticket()])
    assert isinstance(unknown.exception, EventRefused) and "has not issued this ticket" in str(unknown.exception)
    typed = cards[0].code.lower().replace("-", " ")
    (tmp_path / "ada.ticket").write_text(f"{evening.url}/join#{cards[0].code}\n", encoding="utf-8")
    for ticket in (["--ticket", typed, "--with", cards[1].code], ["--ticket-file", "ada.ticket"]):
        result = CliRunner().invoke(cli, [*command, *ticket])
        assert result.exit_code == 0, (result.output, result.exception)
        assert f"{evening.url}/join#{cards[0].code}" in result.output, "the link for the phone is that of the card"
    entered = [entry for entry in queries.list_entries(evening.db) if entry.name == "Ada"]
    assert len(entered) == 1 and entered[0].coauthors == 1


@needs_chromium
def test_a_scanned_card_lets_the_phone_vote_and_its_code_stays_in_no_history(browser: Any, served: Served) -> None:
    evening, cards = served
    asked: list[str] = []
    context = browser.new_context(**PHONE)
    context.on("request", lambda request: asked.append(request.url + str(request.headers.get("referer"))))
    page = context.new_page()
    page.goto(f"{evening.url}/results")
    page.goto(f"{evening.url}/join#{cards[2].code}")
    page.wait_for_url(f"{evening.url}/")
    assert cards[2].code not in "".join(asked), "it is in no address that is sent, and in no referrer"
    page.go_back()
    assert page.url in (f"{evening.url}/join", f"{evening.url}/results")
    page.goto(f"{evening.url}/join#{cards[3].code}")
    page.locator("#other[open]").wait_for()
    assert page.url == f"{evening.url}/join", "another card is not taken without asking"
    assert page.locator("h1").inner_text() == "This phone votes with card 3"
    page.get_by_role("button", name="Use this card").click()
    page.wait_for_url(f"{evening.url}/")
    page.goto(f"{evening.url}/join")
    assert page.locator("h1").inner_text() == "This phone votes with card 4"
    context.close()


@needs_chromium
def test_a_phone_that_listens_is_told_that_it_needs_a_card_from_now_on(browser: Any, served: Served) -> None:
    evening, _ = served
    voters.set_admission(evening.db, "open", now=time.time())
    context = browser.new_context(**PHONE)
    page = context.new_page()
    with page.expect_response("**/api/v1/events"):
        page.goto(f"{evening.url}/")
    page.wait_for_selector("main[data-push]")
    voters.set_admission(evening.db, "tickets", now=time.time())
    page.wait_for_selector("main:has-text('Type the code of your card')", timeout=15_000)
    context.close()


def test_four_hundred_votes_of_fresh_browsers_count_for_nothing_on_the_real_server(served: Served) -> None:
    evening, _ = served
    evening.verify_all()
    assert within(60, lambda: queries.console_view(evening.db, now=evening.now).pending == 0)
    evening.close_and_draw()
    match = queries.get_next_match(evening.db, now=evening.now)
    assert match is not None
    bracket.open_match(evening.db, match.id, seconds=0, now=time.time())

    def vote(_: int) -> str:
        fresh = SimulatedVoter(evening.url)
        fields = Form(fresh.get("/"), "/vote").fields
        try:
            fresh.post("/vote", {**fields, "side": "left"})
        except VoterError as error:
            return str(error)
        return "counted"

    with ThreadPoolExecutor(8) as pool:
        answers = set(pool.map(vote, range(400)))
    assert answers == {"/vote answered 403"}
    opened = queries.get_open_match(evening.db, now=evening.now)
    assert opened is not None and opened.votes == 0
