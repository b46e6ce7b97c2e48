"""The command `arena demo`: from a model to eight verses and a champion, its pages, and its end on signals."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from arena.audit.check import Known, audit_file
from arena.bootstrap import open_event
from arena.services import queries
from arena.services.log import verify_log
from arena.services.race import list_race
from arena.settings import load_settings
from tests.support.server import ARENA, ROOT, Process, ask, within
from trainer.verse.bundle import read_bundle

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")]
A_WHOLE_DEMO = 180.0  # seconds; what it may take on two cores
READY = "Ctrl-C ends it"


def start(*words: str | Path, **more: object) -> Process:
    return Process([*ARENA, "demo", *map(str, words)], start_new_session=True, **more)


def is_ready(demo: Process) -> bool:
    """Whether it serves; waits for that."""
    return within(2 * A_WHOLE_DEMO, lambda: demo.said(READY) or demo.popen.poll() is not None) and bool(
        demo.said(READY)
    )


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
    demo = start("--headless", "--minutes", "0.4", "--dir", folder)
    try:
        assert demo.popen.wait(2 * A_WHOLE_DEMO) == 0, demo.output
        assert time.monotonic() - started < A_WHOLE_DEMO
        assert left_behind(demo.popen.pid) == []
    finally:
        demo.end()
    event = open_event(load_settings(folder))
    view = queries.console_view(event.db, now=time.time())
    assert (view.event.state, view.counts["verified"]) == ("published", 8)
    assert len({entry.owner for entry in view.entries}) == 8
    assert view.champion is not None and view.champion.name is not None
    assert demo.said(f"The champion, by {view.champion.name}:")
    text = view.champion.text or ""
    assert all(f"    {line}" in demo.lines for line in text.split("\n"))
    assert demo.said(f"The log's {verify_log(event.db)} records are whole.")
    assert all(match.state == "closed" for match in view.matches)
    assert demo.said("everything in it was computed again and agrees") and demo.said("arena audit")
    [curve] = list_race(event.db).curves
    assert curve.bits is not None and demo.said("The stage shows the race of the training"), "its race was seen"
    assert demo.said(f"In the race of the event you are “{curve.nickname}”")
    record = read_bundle(folder / "verses" / "Aurora.verse").claim.provenance["train"]
    assert record["nonce"] and record["owner"] in {entry.owner for entry in view.entries}
    event.db.dispose()
    assert audit_file(folder / "event.zip", Known(), jobs=2).agrees


def port_of(demo: Process) -> int:
    stage = demo.said("stage ")
    assert stage is not None, demo.output
    return int(stage.rpartition(":")[2].split("/")[0])


@pytest.fixture(scope="module")
def two_demos(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[Path, Process]]:
    """Two demos started at the same moment, by their folders; each is ended by one of the tests."""
    folder = tmp_path_factory.mktemp("two")
    demos = {folder / name: start("--no-train", "--dir", folder / name) for name in ("one", "other")}
    try:
        assert all(map(is_ready, demos.values())), [demo.output for demo in demos.values()]
        yield demos
    finally:
        for demo in demos.values():
            demo.end()


def test_two_demos_started_at_once_are_two_events_of_eight_different_verses_in_words_of_the_corpus(
    two_demos: dict[Path, Process],
) -> None:
    assert len({port_of(demo) for demo in two_demos.values()}) == 2
    for folder, demo in two_demos.items():
        event = open_event(load_settings(folder))
        view = queries.console_view(event.db, now=time.time())
        event.db.dispose()
        assert view.counts["verified"] == sum(view.counts.values()) == 8, demo.output
        texts = [entry.text for entry in view.entries]
        assert len({text.strip().split("\n")[0] for text in texts}) == 8
        assert all(sum(bool(line.strip()) for line in text.split("\n")) >= 3 for text in texts)
        share = re.search(r"Of their \d+ words, (\d+)% are in the corpus", "\n".join(demo.lines))
        assert share and int(share[1]) >= 85


def test_the_demo_serves_its_pages_with_the_first_match_open(two_demos: dict[Path, Process]) -> None:
    for demo in two_demos.values():
        assert demo.said("phones ") and demo.said("console ")
        port = port_of(demo)
        assert ask(port, "GET /stage")[0] == 200
        assert b'action="/vote"' in ask(port, "GET /")[2]


def test_the_demo_ends_on_ctrl_c_with_one_line_and_no_child_outlives_it(two_demos: dict[Path, Process]) -> None:
    demo = next(iter(two_demos.values()))
    lines = len(demo.lines)
    os.killpg(demo.popen.pid, signal.SIGINT)
    assert demo.popen.wait(20) == 0, demo.output
    assert within(5, lambda: demo.said("To serve it again: arena serve --dir "))
    assert [line for line in demo.lines[lines:] if line] == [demo.lines[-1]]
    assert demo.said("Traceback") is None
    assert within(10, lambda: left_behind(demo.popen.pid) == [])


def test_no_child_outlives_a_demo_that_was_killed(two_demos: dict[Path, Process]) -> None:
    demo = list(two_demos.values())[1]
    demo.kill()
    assert within(10, lambda: left_behind(demo.popen.pid) == [])


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_demo_stopped_while_it_trains_ends_at_once_and_leaves_no_process(
    tmp_path: Path, how: signal.Signals
) -> None:
    demo = start("--steps", "1000000", "--dir", tmp_path / "demo")
    try:
        assert within(A_WHOLE_DEMO, lambda: demo.said("weights") and demo.said(", into ")), demo.output
        lines = len(demo.lines)
        if how == signal.SIGINT:
            os.killpg(demo.popen.pid, how)  # as a terminal does
        else:
            demo.popen.send_signal(how)
        assert demo.popen.wait(60) != 0
        assert within(10, lambda: left_behind(demo.popen.pid) == [])
        assert within(5, lambda: demo.said("Stopped. What was made until now is in "))
        new = [line for line in demo.lines[lines:] if line and not line.startswith("In the race of the event")]
        assert new == [demo.lines[-1]]
    finally:
        demo.end()


def test_the_demo_stopped_during_the_audition_leaves_no_process_and_says_so_in_one_line(tmp_path: Path) -> None:
    demo = start("--no-train", "--dir", tmp_path / "demo")
    try:
        assert within(A_WHOLE_DEMO, lambda: demo.said("8 poets each choose")), demo.output
        os.killpg(demo.popen.pid, signal.SIGINT)
        assert demo.popen.wait(30) == 130
        assert within(10, lambda: left_behind(demo.popen.pid) == [])
        assert [line for line in demo.lines if line][2:] == [demo.lines[-1]]
        assert demo.lines[-1].startswith("Stopped.")
    finally:
        demo.end()


def test_a_second_start_in_the_same_folder_says_what_to_do_in_one_line(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    first = start("--no-train", "--dir", folder)
    try:
        assert within(A_WHOLE_DEMO, lambda: first.said("The demonstration is in ")), first.output
        second = start("--no-train", "--dir", folder)
        try:
            assert second.popen.wait(30) == 1
            assert within(5, lambda: second.said(f"serve it with arena serve --dir {folder}"))
            assert len(second.lines) == 1
        finally:
            second.end()
    finally:
        first.end()


def test_on_a_terminal_with_a_display_the_stage_and_the_page_for_votes_open_in_the_browser(tmp_path: Path) -> None:
    pty = pytest.importorskip("pty", reason="terminals of POSIX")
    opened, browser = tmp_path / "opened", tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" >> {opened}\n')
    browser.chmod(0o700)
    ours, terminal = pty.openpty()
    environment = {**os.environ, "DISPLAY": ":99", "BROWSER": f"{browser} %s"}
    demo = subprocess.Popen(
        [*ARENA, "demo", "--no-train", "--dir", str(tmp_path / "demo")],
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        env=environment,
        cwd=ROOT,
        start_new_session=True,
    )
    os.close(terminal)
    said = b""
    try:
        while READY.encode() not in said:
            said += os.read(ours, 4096)  # OSError when the demo has ended before
        port = re.search(rb"http://127.0.0.1:(\d+)/stage", said)
        assert port is not None
        pages = [f"http://127.0.0.1:{port[1].decode()}{path}" for path in ("/stage", "/")]
        assert within(10, lambda: opened.exists() and opened.read_text().split() == pages)
        demo.terminate()
        assert demo.wait(20) == 0
    finally:
        demo.kill()
        demo.wait()
        os.close(ours)
