"""A real server on a computer whose clock is changed in mid-match."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from arena.services.bracket import open_match
from arena.services.log import verify_log
from arena.services.queries import console_view, get_open_match
from arena.services.rounds import resume
from tests.support.evening import Author, Evening
from tests.support.server import ROOT, ArenaServer, ask, within

pytestmark = pytest.mark.slow
SHIFTED = ROOT / "tests" / "support" / "shifted"


class Shifted(Evening):
    """An event on a computer whose clock can be changed, served by real processes that see it."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, now=None)
        self.file = folder.parent / "shift"
        self.shift(0)
        self.poets: list[Author] = []

    def shift(self, seconds: float) -> None:
        self.file.write_text(str(seconds))

    def start(self) -> ArenaServer:
        paths = os.pathsep.join(map(str, (SHIFTED, ROOT)))
        self.server = ArenaServer(self.folder, variables={"PYTHONPATH": paths, "SHIFTED_CLOCK": str(self.file)})
        return self.server


@pytest.fixture
def shifted(tmp_path: Path) -> Iterator[Shifted]:
    event = Shifted(tmp_path / "event")
    event.create()
    event.poets = event.draw(2)
    event.start()
    yield event
    event.end()


@pytest.mark.parametrize("seconds", [3_600.0, -3_600.0])
def test_a_match_of_a_real_server_takes_its_time_when_the_clock_is_changed(shifted: Shifted, seconds: float) -> None:
    server = shifted.server
    assert server is not None
    began = time.monotonic()
    open_match(shifted.db, "r1m1", seconds=6, now=shifted.now)
    shifted.vote("early", "r1m1", shifted.poets[0].text)
    shifted.shift(seconds)
    assert within(20, lambda: server.said("the event's: it was changed, or the computer slept")), server.output
    state = json.loads(ask(shifted.port, "GET /api/v1/state")[2])
    if state["match"] is not None:  # on a busy machine the six seconds may be over
        assert abs(state["match"]["closes_at"] - shifted.now) < 7
    assert within(30, lambda: get_open_match(shifted.db, now=shifted.now) is None)
    assert time.monotonic() - began > 5.9
    closed = next(match for match in console_view(shifted.db, now=shifted.now).matches if match.id == "r1m1")
    assert (closed.decided_by, closed.tallies) in (("votes", [[1, 0]]), ("votes", [[0, 1]]))
    kinds = [record["kind"] for record in console_view(shifted.db, now=shifted.now).recent]
    assert "clock-differs" in kinds
    assert within(20, lambda: "clock-set" in [r["kind"] for r in console_view(shifted.db, now=shifted.now).recent])
    verify_log(shifted.db)


def test_a_match_whose_time_ended_while_the_server_was_away_stands_still_when_it_is_back(tmp_path: Path) -> None:
    event = Evening(tmp_path / "event", now=time.time() - 3_600)
    event.create()
    authors = event.voting(2, seconds=60)
    event.vote("somebody", "r1m1", authors[0].text)
    server = event.serve()
    try:
        assert server.said("Final stands still, since the server was away") and server.said("`arena match resume`")
        state = json.loads(ask(event.port, "GET /api/v1/state")[2])["match"]
        assert state["paused"] and state["votes"] == 1
        [went_on] = resume(event.db, now=time.time())
        assert went_on.closes_at is not None and 50 < went_on.closes_at - time.time() <= 61
        assert within(20, lambda: not json.loads(ask(event.port, "GET /api/v1/state")[2])["match"]["paused"])
        verify_log(event.db)
        assert event.differences() == []
    finally:
        event.end()
