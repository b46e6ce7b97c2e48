"""`arena serve` as processes: one holds the event, and none outlives it. Real servers, real kill -9."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from arena.bootstrap import make_event, open_event
from arena.server.lock import EventHeld, EventLock
from arena.server.network import PortTaken, free_port, lan_address, with_address
from arena.services.events import close_submissions, open_submissions
from arena.settings import SettingsError, create_event_folder, load_settings
from tests.support.server import ARENA, Process, ask, within

pytestmark = pytest.mark.slow
START_WITHIN = 60.0  # seconds; a cold machine with every core busy
posix = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")


class Served:
    """`arena serve` on an event of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.process = Process([*ARENA, "serve", "--dir", str(folder), "--port", "0"])
        assert within(START_WITHIN, lambda: self.process.said("Ctrl-C ends it")), self.process.lines
        said = self.process.said("phones ")
        assert said is not None
        self.port = int(said.rstrip("/").rpartition(":")[2])

    @property
    def children(self) -> dict[str, psutil.Process]:
        """The web process and the verifying one."""
        found = {}
        for child in psutil.Process(self.process.popen.pid).children():
            try:
                line = " ".join(child.cmdline())
            except psutil.Error:  # it has just ended
                continue
            if "arena.worker" in line:
                found["verifying"] = child
            elif "spawn_main" in line:
                found["web"] = child
        return found

    def answers(self) -> bool:
        try:
            return ask(self.port, "GET /api/v1/state")[0] == 200
        except (OSError, ConnectionError):
            return False


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One server for the tests that only look."""
    folder = tmp_path_factory.mktemp("shared") / "event"
    make_event(folder, name="Poets of the lab", draw_word="thimble", now=time.time())
    served = Served(folder)
    yield served
    served.process.end()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_event(tmp_path / "event", name="Poets of the lab", draw_word="thimble", now=time.time())
    return tmp_path / "event"


@pytest.fixture
def serve(folder: Path) -> Iterator[Callable[[], Served]]:
    started: list[Served] = []

    def start() -> Served:
        started.append(Served(folder))
        return started[-1]

    yield start
    for one in started:
        one.process.end()


def gone(child: psutil.Process) -> bool:
    return not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


def test_it_says_where_everything_is_and_never_the_password(shared: Served) -> None:
    lines = "\n".join(shared.process.lines)
    assert f"http://127.0.0.1:{shared.port}/stage" in lines
    assert f"http://127.0.0.1:{shared.port}/console" in lines
    assert "phones at once" in lines
    assert str(shared.folder / "secrets.json") in lines
    assert load_settings(shared.folder).console_password not in lines


def test_it_answers_polls_and_pages(shared: Served) -> None:
    status, headers, body = ask(shared.port, "GET /api/v1/state")
    assert (status, json.loads(body)["event"]) == (200, "Poets of the lab")
    assert ask(shared.port, f"GET /api/v1/state\nIf-None-Match: {headers['etag']}")[0] == 304
    status, headers, body = ask(shared.port, "GET /")
    assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert b"Poets of the lab" in body


def test_a_second_start_names_the_process_that_holds_the_event(shared: Served) -> None:
    second = Process([*ARENA, "serve", "--dir", str(shared.folder), "--port", "0"])
    try:
        assert second.popen.wait(START_WITHIN) == 1
        assert within(5, lambda: second.said("is served already"))
        line = second.said("is served already") or ""
        assert f"process {shared.process.popen.pid}, at http://127.0.0.1:{shared.port}" in line
        assert shared.answers()
    finally:
        second.end()


def test_what_another_process_writes_reaches_the_polls(shared: Served) -> None:
    settings = load_settings(shared.folder)
    event = open_event(settings)
    open_submissions(event.db, now=time.time())
    assert within(5, lambda: json.loads(ask(shared.port, "GET /api/v1/state")[2])["state"] == "open")
    close_submissions(event.db, now=time.time())
    event.db.dispose()
    assert within(5, lambda: json.loads(ask(shared.port, "GET /api/v1/state")[2])["state"] == "closed")


def test_submissions_close_by_themselves(shared: Served) -> None:
    settings = load_settings(shared.folder)
    event = open_event(settings)
    open_submissions(event.db, closes_at=time.time() + 1.0, now=time.time())
    event.db.dispose()
    assert within(30, lambda: json.loads(ask(shared.port, "GET /api/v1/state")[2])["state"] == "closed")


@posix
def test_when_the_main_process_is_killed_its_children_end_within_a_second(serve: Callable[[], Served]) -> None:
    served = serve()
    children = served.children
    assert set(children) == {"web", "verifying"}
    served.process.kill()
    killed = time.monotonic()
    assert within(10, lambda: all(map(gone, children.values())))
    assert time.monotonic() - killed < 1.5  # a second, and half of one for a machine with every core busy
    free_port("127.0.0.1", served.port)


@posix
def test_after_a_kill_the_event_can_be_served_again_at_once(serve: Callable[[], Served]) -> None:
    serve().process.kill()
    assert serve().answers()


@posix
@pytest.mark.parametrize("who", ["web", "verifying"])
def test_a_child_that_is_killed_is_started_again(serve: Callable[[], Served], who: str) -> None:
    served = serve()
    old = served.children[who]
    old.kill()
    assert within(START_WITHIN, lambda: served.children.get(who) not in (None, old))
    assert within(START_WITHIN, served.answers)
    assert served.process.popen.poll() is None


@posix
@pytest.mark.parametrize("how", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_it_ends_cleanly_with_phones_still_connected(serve: Callable[[], Served], how: str) -> None:
    served = serve()
    phones = [http.client.HTTPConnection("127.0.0.1", served.port, timeout=20) for _ in range(5)]
    for phone in phones:
        phone.request("GET", "/api/v1/state")
        assert phone.getresponse().read()
    children = served.children
    served.process.popen.send_signal(signal.Signals[how])
    assert served.process.popen.wait(15) == 0, served.process.lines
    assert all(map(gone, children.values()))
    assert served.process.said("Traceback") is None
    for phone in phones:
        phone.close()


@posix
def test_ctrl_c_in_a_terminal_reaches_every_process_and_makes_no_noise(folder: Path) -> None:
    process = Process([*ARENA, "serve", "--dir", str(folder), "--port", "0"], start_new_session=True)
    try:
        assert within(START_WITHIN, lambda: process.said("Ctrl-C ends it")), process.lines
        lines = len(process.lines)
        os.killpg(process.popen.pid, signal.SIGINT)
        assert process.popen.wait(15) == 0
        assert process.lines[lines:] == []
    finally:
        process.end()


def test_a_port_in_use_is_one_line(folder: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        process = Process([*ARENA, "serve", "--dir", str(folder), "--port", str(port)])
        try:
            assert process.popen.wait(START_WITHIN) == 1
            assert within(5, lambda: process.said("choose another with --port"))
            assert len(process.lines) == 1
        finally:
            process.end()


def test_the_lock_is_held_by_one_and_free_after_it(tmp_path: Path) -> None:
    with EventLock(tmp_path / "lock", "http://127.0.0.1:1"):
        with pytest.raises(EventHeld) as held, EventLock(tmp_path / "lock", "http://127.0.0.1:2"):
            pass
        assert (held.value.pid, held.value.address) == (os.getpid(), "http://127.0.0.1:1")
    with EventLock(tmp_path / "lock", "http://127.0.0.1:3"):
        pass


def test_it_listens_on_this_machine_until_told_otherwise(tmp_path: Path) -> None:
    settings = create_event_folder(tmp_path / "event")
    assert with_address(settings, port=0).host == "127.0.0.1"
    out = with_address(settings, port=0, public_url="https://verses.example.org/")
    assert (out.host, out.base_url) == ("127.0.0.1", "https://verses.example.org")


def test_lan_lets_the_network_in_and_links_name_its_address(tmp_path: Path) -> None:
    settings = create_event_folder(tmp_path / "event")
    named = with_address(settings, lan="192.168.1.5", port=0)
    assert (named.host, named.base_url) == ("0.0.0.0", f"http://192.168.1.5:{named.port}")
    assert (
        with_address(settings, lan="192.168.1.5", port=0, public_url="https://v.example").base_url
        == "https://v.example"
    )
    set_before = replace(settings, public_url="https://set.example")
    assert with_address(set_before, lan="auto", port=0).base_url == "https://set.example"
    with pytest.raises(SettingsError):
        with_address(settings, lan="no address/", port=0)
    try:
        address = lan_address()
    except SettingsError as error:
        assert "--lan 192.168.1.5" in str(error)
    else:
        assert not address.startswith("127.")


def test_no_such_port_is_said(tmp_path: Path) -> None:
    with pytest.raises(PortTaken):
        free_port("127.0.0.1", 70_000)
    with pytest.raises(PortTaken):
        free_port("192.0.2.1", 0)


def test_a_console_for_other_machines_needs_tls(folder: Path) -> None:
    process = Process([*ARENA, "serve", "--dir", str(folder), "--port", "0", "--console-remote"])
    try:
        assert process.popen.wait(START_WITHIN) == 1
        assert within(5, lambda: process.said("--public-url https://"))
    finally:
        process.end()
