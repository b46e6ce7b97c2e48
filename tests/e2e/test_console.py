"""The console over HTTP on a real server: two taps on one button."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from arena.demo.simulated_voters import Form, SimulatedVoter, VoterError
from arena.services import bracket, queries
from tests.support.bundles import verses
from tests.support.evening import Evening

pytestmark = pytest.mark.slow


@pytest.fixture
def final(tmp_path: Path) -> Iterator[Evening]:
    """A served event whose final is open and a tie so far."""
    served = Evening(tmp_path / "event", now=None).begin()
    served.drawn(verses(2))
    served.serve()
    bracket.open_match(served.db, "r1m1", seconds=0, now=time.time())
    served.tie("r1m1")
    yield served
    served.end()


def test_two_taps_on_close_a_fifth_of_a_second_apart_count_once(final: Evening) -> None:
    browser = SimulatedVoter(final.console_url)
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
