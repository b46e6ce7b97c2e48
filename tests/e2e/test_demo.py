"""The command `arena demo`, from training to the champion, and its end on signals."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import psutil
import pytest

from arena.bootstrap import open_event
from arena.services import queries
from arena.services.log import verify_log
from arena.settings import load_settings
from tests.support.server import ARENA, Process, ask, within

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")]
A_WHOLE_DEMO = 180.0  # seconds; what it may take on two cores


def left_behind(session: int) -> list[str]:
    """Command lines of what still runs in a session."""
    found = []
    for process in psutil.process_iter():
        try:
            if os.getsid(process.pid) == session and process.status() != psutil.STATUS_ZOMBIE:
                found.append(" ".join(process.cmdline()))
        except (psutil.Error, OSError):  # it has just ended
            continue
    return found


def test_the_demo_plays_to_a_champion_in_three_minutes_and_leaves_no_process(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    started = time.monotonic()
    command = [*ARENA, "demo", "--headless", "--minutes", "0.3", "--dir", str(folder)]
    demo = Process(command, start_new_session=True)
    try:
        assert demo.popen.wait(2 * A_WHOLE_DEMO) == 0, demo.lines
        assert time.monotonic() - started < A_WHOLE_DEMO
        assert left_behind(demo.popen.pid) == []
    finally:
        demo.end()
    event = open_event(load_settings(folder))
    view = queries.console_view(event.db, now=time.time())
    assert (view.event.state, view.counts["verified"]) == ("champion", 8)
    assert len({entry.owner for entry in view.entries}) == 8
    assert view.champion is not None and view.champion.name is not None
    assert demo.said(f"The champion, by {view.champion.name}:")
    text = view.champion.text or ""
    assert all(f"    {line}" in demo.lines for line in text.split("\n"))
    assert demo.said(f"The log's {verify_log(event.db)} records are whole.")
    assert all(match.state == "closed" for match in view.matches)
    event.db.dispose()


@pytest.mark.parametrize("how", ["ctrl-c", "kill"])
def test_the_demo_serves_until_it_is_ended_and_no_child_outlives_it(tmp_path: Path, how: str) -> None:
    demo = Process([*ARENA, "demo", "--steps", "1", "--dir", str(tmp_path / "demo")], start_new_session=True)
    try:
        assert within(A_WHOLE_DEMO, lambda: demo.said("Ctrl-C ends it") or demo.popen.poll() is not None)
        stage = demo.said("stage ")
        assert stage is not None, demo.lines
        assert demo.said("phones ") and demo.said("console ")
        port = int(stage.rpartition(":")[2].split("/")[0])
        assert ask(port, "GET /stage")[0] == 200
        if how == "ctrl-c":
            os.killpg(demo.popen.pid, signal.SIGINT)
            assert demo.popen.wait(20) == 0, demo.lines
            assert demo.said("Traceback") is None
        else:
            demo.kill()
        assert within(10, lambda: left_behind(demo.popen.pid) == [])
    finally:
        demo.end()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_the_demo_stopped_while_it_trains_ends_at_once_and_leaves_no_process(
    tmp_path: Path, how: signal.Signals
) -> None:
    demo = Process([*ARENA, "demo", "--minutes", "20", "--dir", str(tmp_path / "demo")], start_new_session=True)
    try:
        assert within(A_WHOLE_DEMO, lambda: demo.said("weights")), demo.lines
        if how == signal.SIGINT:
            os.killpg(demo.popen.pid, how)  # as a terminal does
        else:
            demo.popen.send_signal(how)
        assert demo.popen.wait(60) != 0
        assert within(10, lambda: left_behind(demo.popen.pid) == [])
    finally:
        demo.end()
