"""The console over HTTP, on a real server: what two taps do."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from arena.demo.simulated_voters import Form, SimulatedVoter, VoterError
from arena.services import bracket, entries, identity, queries
from tests.support.evening import verses
from tests.support.served import House
from tests.support.server import within

pytestmark = pytest.mark.slow


@pytest.fixture
def final(tmp_path: Path) -> Iterator[House]:
    """A served event whose final is open, without a vote so far."""
    house = House(tmp_path / "event")
    house.open()
    house.serve()
    for number, data in enumerate(verses(2)):
        path = tmp_path / f"{number}.verse"
        path.write_bytes(data)
        key = house.settings.receipt_key
        entries.take_file(
            house.db, house.event.store, path, identity.new_secret(), f"Poet {number}", key=key, now=time.time()
        )
    assert within(60, lambda: queries.console_view(house.db, now=time.time()).counts["verified"] == 2)
    house.close()
    bracket.draw_bracket(house.db, now=time.time())
    bracket.open_match(house.db, "r1m1", seconds=0, now=time.time())
    yield house
    house.end()


def test_two_taps_on_close_a_fifth_of_a_second_apart_count_once(final: House) -> None:
    browser = SimulatedVoter(final.url)
    login = Form(browser.get("/console/login"), "/console/login")
    page = browser.post("/console/login", {**login.fields, "password": final.settings.console_password})
    fields = Form(page, "/console/matches/r1m1/close").fields
    apart = threading.Event()

    def tap(pause: float) -> str:
        apart.wait(pause)
        try:
            browser.post("/console/matches/r1m1/close", fields)
        except VoterError as error:
            return str(error)
        return "done"

    with ThreadPoolExecutor(2) as taps:
        assert list(taps.map(tap, (0.0, 0.2))) == ["done", "/console/matches/r1m1/close answered 409"]
    match = queries.console_view(final.db, now=time.time()).open
    assert match is not None and (match.id, match.poll_round) == ("r1m1", 1)
