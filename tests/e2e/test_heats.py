"""Heats, a round at a time and the practice vote in a real browser, against a real server, with JavaScript."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import delete, select

from arena.rules.heats import LEAST_SECONDS
from arena.services import bracket, drawing, events, heats, practice, rounds
from arena.store.schema import Vote
from tests.support.browser import PHONE, PROJECTOR, needs_chromium
from tests.support.bundles import verses
from tests.support.evening import WORD, Evening
from tests.support.server import within

pytestmark = [pytest.mark.slow, needs_chromium]
SOON = 20_000  # ms


@pytest.fixture(scope="module")
def evening(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Evening]:
    """A served event with four verified verses; each test takes it a step further."""
    served = Evening(tmp_path_factory.mktemp("heats") / "event", now=None).begin()
    for number, bundle in enumerate(verses(4)):
        served.enter(f"poet{number}", bundle)
    served.verify_all()
    served.serve()
    yield served
    served.end()


def screens(browser: Any, evening: Evening) -> tuple[Any, Any]:
    phone = browser.new_context(**PHONE).new_page()
    phone.goto(f"{evening.url}/")
    stage = browser.new_context(**PROJECTOR).new_page()
    stage.goto(f"{evening.url}/stage")
    return phone, stage


def voted(evening: Evening) -> set[str]:
    with evening.db.reading() as session:
        return set(session.scalars(select(Vote.match_id)))


def heading(page: Any, text: str) -> None:
    page.get_by_role("heading", name=text).first.wait_for(timeout=SOON)


def test_a_phone_practises_then_judges_pairs_without_leaving_the_page(browser: Any, evening: Evening) -> None:
    phone, stage = screens(browser, evening)
    practice.open_practice(evening.db, seconds=0, now=time.time())
    heading(phone, "Which verse is better?")
    heading(stage, "Practice")
    phone.locator("#vote-left").tap()
    heading(phone, "Your vote is saved")
    stage.locator(".votes b", has_text="1").wait_for(timeout=SOON)
    practice.close_practice(evening.db, now=time.time())
    heading(phone, "Submissions are open")
    heats.open_heats(evening.db, now=time.time())
    phone.get_by_role("link", name="Judge verses").tap(timeout=SOON)
    phone.locator("#begin").tap()
    phone.locator("p.lede", has_text="pair 1").wait_for(timeout=SOON)
    phone.evaluate("window.kept = true")
    for number in (1, 2):
        phone.locator("p.lede", has_text=f"pair {number}").wait_for(timeout=SOON)
        phone.wait_for_timeout(1_000 * LEAST_SECONDS)  # as somebody reads
        phone.locator("#judge-left").tap()
    phone.locator("p.lede", has_text="pair 3").wait_for(timeout=SOON)
    assert phone.evaluate("window.kept"), "the page was never loaded again"
    stage.locator("b", has_text="2").first.wait_for(timeout=SOON)
    heats.close_heats(evening.db, now=time.time())
    heading(phone, "The heats are over")
    for page in (phone, stage):
        page.context.close()


def test_a_phone_votes_down_the_list_while_the_stage_shows_the_round(browser: Any, evening: Evening) -> None:
    evening.close()
    drawing.draw_bracket(evening.db, word=WORD, seeding="heats", now=time.time())
    phone, stage = screens(browser, evening)
    rounds.open_round(evening.db, seconds=0, now=time.time())
    heading(stage, "2 matches open")
    for number in (1, 2):
        phone.locator("p.lede", has_text=f"Semi-final {number}").wait_for(timeout=SOON)
        phone.locator("#vote-left").tap()
    heading(phone, "Your votes are saved")
    stage.locator(".votes b", has_text="2").wait_for(timeout=SOON)
    with evening.db.writing() as session:  # as after a backup that was made before the votes
        session.execute(delete(Vote))
    events.mark_restored(evening.db, made_at=time.time(), now=time.time())
    assert within(20, lambda: len(voted(evening)) == 2), "both votes are sent again"
    rounds.close_round(evening.db, now=time.time())
    heading(stage, "Semi-final 1")
    stage.locator(".verdict").wait_for(timeout=SOON)
    bracket.close_match(evening.db, "r1m2", poll_round=0, now=time.time())  # without waiting for its turn
    heading(stage, "Semi-final 2")
    phone.locator("p.lede", has_text="Result of Semi-final 2").wait_for(timeout=SOON)
    for page in (phone, stage):
        page.context.close()
