"""The processes of `arena serve`: one server per event, restarts after kills, and no child that outlives it."""

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

from arena.server.lock import EventHeld, EventLock
from arena.server.network import PortTaken, free_port, hold_port, lan_address, with_address
from arena.server.server import is_answering
from arena.services.events import close_submissions, open_submissions
from arena.settings import SettingsError, create_event_folder
from tests.support.evening import Evening
from tests.support.server import ARENA, START_WITHIN, ArenaServer, Process, ask, unused_port, within

pytestmark = pytest.mark.slow
posix = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Evening]:
    """One served event for the tests that only look."""
    evening = Evening(tmp_path_factory.mktemp("shared") / "event", now=None).create()
    evening.serve()
    yield evening
    evening.end()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An event that is not served."""
    evening = Evening(tmp_path / "event").create()
    evening.end()
    return evening.folder


@pytest.fixture
def serve(folder: Path) -> Iterator[Callable[[], ArenaServer]]:
    started: list[ArenaServer] = []

    def start() -> ArenaServer:
        started.append(ArenaServer(folder))
        return started[-1]

    yield start
    for server in started:
        server.end()


def gone(child: psutil.Process) -> bool:
    return not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


def test_serve_prints_every_address_and_never_the_password(shared: Evening) -> None:
    lines = "\n".join(shared.server.lines)
    assert f"http://127.0.0.1:{shared.port}/stage" in lines
    assert f"http://127.0.0.1:{shared.server.console_port}/console" in lines
    assert "phones at once" in lines
    assert str(shared.folder / "secrets.json") in lines
    assert shared.settings.console_password not in lines


def test_a_server_answers_polls_and_pages(shared: Evening) -> None:
    status, headers, body = ask(shared.port, "GET /api/v1/state")
    assert (status, json.loads(body)["event"]) == (200, shared.settings.name)
    assert ask(shared.port, f"GET /api/v1/state\nIf-None-Match: {headers['etag']}")[0] == 304
    status, headers, body = ask(shared.port, "GET /")
    assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert b"Evening &lt;of&gt; verses" in body


def test_a_second_start_names_the_process_that_holds_the_event(shared: Evening) -> None:
    second = Process([*ARENA, "serve", "--dir", str(shared.folder), "--port", str(unused_port())])
    try:
        assert second.popen.wait(START_WITHIN) == 1
        assert within(5, lambda: second.said("is served already"))
        line = second.said("is served already") or ""
        assert f"process {shared.server.popen.pid}, at http://127.0.0.1:{shared.port}" in line
        assert shared.server.answers()
    finally:
        second.end()


def test_what_another_process_writes_reaches_the_polls(shared: Evening) -> None:
    open_submissions(shared.db, now=time.time())
    assert within(5, lambda: json.loads(ask(shared.port, "GET /api/v1/state")[2])["state"] == "open")
    close_submissions(shared.db, now=time.time())
    assert within(5, lambda: json.loads(ask(shared.port, "GET /api/v1/state")[2])["state"] == "closed")


def test_submissions_close_by_themselves(shared: Evening) -> None:
    open_submissions(shared.db, closes_at=time.time() + 1.0, now=time.time())
    assert within(30, lambda: json.loads(ask(shared.port, "GET /api/v1/state")[2])["state"] == "closed")


@posix
def test_when_the_main_process_is_killed_its_children_end_within_a_second(serve: Callable[[], ArenaServer]) -> None:
    served = serve()
    children = served.children
    assert set(children) == {"web", "verifying"}
    served.kill()
    killed = time.monotonic()
    assert within(10, lambda: all(map(gone, children.values())))
    assert time.monotonic() - killed < 1.5  # a second, and half of one for a machine with every core busy
    free_port("127.0.0.1", served.port)


@posix
def test_after_a_kill_the_event_can_be_served_again_at_once(serve: Callable[[], ArenaServer]) -> None:
    serve().kill()
    assert serve().answers()


@posix
@pytest.mark.parametrize("who", ["web", "verifying"])
def test_a_child_that_is_killed_is_started_again(shared: Evening, who: str) -> None:
    served = shared.server
    assert served is not None
    old = served.children[who]
    old.kill()
    assert within(START_WITHIN, lambda: served.children.get(who) not in (None, old))
    assert within(START_WITHIN, served.answers)
    assert served.popen.poll() is None


@posix
@pytest.mark.parametrize("how", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_server_ends_cleanly_on_a_signal_with_phones_still_connected(
    serve: Callable[[], ArenaServer], how: str
) -> None:
    served = serve()
    phones = [http.client.HTTPConnection("127.0.0.1", served.port, timeout=20) for _ in range(5)]
    for phone in phones:
        phone.request("GET", "/api/v1/state")
        assert phone.getresponse().read()
    children = served.children
    served.popen.send_signal(signal.Signals[how])
    assert served.popen.wait(15) == 0, served.output
    assert all(map(gone, children.values()))
    assert served.said("Traceback") is None
    for phone in phones:
        phone.close()


@posix
def test_ctrl_c_in_a_terminal_reaches_every_process_and_makes_no_noise(folder: Path) -> None:
    process = Process([*ARENA, "serve", "--dir", str(folder), "--port", str(unused_port())], start_new_session=True)
    try:
        assert within(START_WITHIN, lambda: process.said("Ctrl-C ends it")), process.output
        lines = len(process.lines)
        os.killpg(process.popen.pid, signal.SIGINT)
        assert process.popen.wait(15) == 0
        assert process.lines[lines:] == []
    finally:
        process.end()


@posix
def test_ctrl_c_with_two_hundred_phones_connected_ends_without_a_panic(folder: Path) -> None:
    """Phones that wait for an answer, that keep a connection open, and that are in the middle of a request."""
    process = ArenaServer(folder, start_new_session=True)
    phones = [socket.create_connection(("127.0.0.1", process.port), timeout=20) for _ in range(200)]
    try:
        for number, phone in enumerate(phones):
            phone.sendall(b"GET /api/v1/state HTTP/1.1\r\nHost: 127.0.0.1\r\n")
            if number % 2:
                phone.sendall(b"\r\n")
        for phone in phones[1:100:2]:
            assert phone.recv(12) == b"HTTP/1.1 200"
        lines = len(process.lines)
        os.killpg(process.popen.pid, signal.SIGINT)
        assert process.popen.wait(20) == 0
        said = ["WARNING requests that had not ended were cut off"]  # a hundred heads never end
        assert process.lines[lines:] == said
    finally:
        for phone in phones:
            phone.close()
        process.end()


def test_a_port_in_use_is_reported_in_one_line(folder: Path) -> None:
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


def test_a_server_listens_on_loopback_by_default(tmp_path: Path) -> None:
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


def test_the_console_has_the_next_port_or_the_one_it_is_given(tmp_path: Path) -> None:
    settings = create_event_folder(tmp_path / "event")
    port, taken = unused_port(), unused_port()
    assert with_address(settings, port=port).console_port == port + 1
    assert with_address(settings, port=port, console_port=taken).console_port == taken
    assert with_address(replace(settings, console_port=taken), port=port).console_port == taken
    free = with_address(settings, port=0)
    assert free.console_port not in (0, free.port)
    with pytest.raises(PortTaken, match="--console-port"):
        with_address(settings, port=port, console_port=port)
    with hold_port("127.0.0.1", taken), pytest.raises(PortTaken, match="--console-port"):
        with_address(settings, port=port, console_port=taken)


def test_a_port_that_cannot_be_bound_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(PortTaken):
        free_port("127.0.0.1", 70_000)
    with pytest.raises(PortTaken):
        free_port("192.0.2.1", 0)


def test_a_port_that_one_event_holds_is_taken_for_every_other(tmp_path: Path) -> None:
    settings = create_event_folder(tmp_path / "event")
    with hold_port("127.0.0.1", unused_port()) as port:
        for host in ("127.0.0.1", "0.0.0.0"):
            with pytest.raises(PortTaken), hold_port(host, port):
                pass
        with pytest.raises(PortTaken):
            with_address(settings, port=port)
    assert with_address(settings, port=port).port == port


def test_two_events_started_at_once_on_one_port_are_one_server_and_one_error(tmp_path: Path) -> None:
    folders = [tmp_path / "one", tmp_path / "other"]
    for folder in folders:
        Evening(folder).create().end()
    port = unused_port()
    words = ["--port", str(port), "--console-port"]
    starts = [Process([*ARENA, "serve", "--dir", str(folder), *words, str(unused_port())]) for folder in folders]
    try:
        settled = ("Ctrl-C ends it", "choose another with --port")
        assert within(START_WITHIN, lambda: all(any(map(start.said, settled)) for start in starts))
        assert sorted(bool(start.said("Ctrl-C ends it")) for start in starts) == [False, True]
    finally:
        for start in starts:
            start.end()


def test_the_server_of_another_event_on_the_same_port_is_not_taken_for_our_own(shared: Evening, tmp_path: Path) -> None:
    assert is_answering(replace(shared.settings, port=shared.port))
    stranger = create_event_folder(tmp_path / "event")
    assert not is_answering(replace(stranger, port=shared.port))
    assert not is_answering(replace(shared.settings, port=unused_port()))


def test_a_console_for_other_machines_needs_tls(folder: Path) -> None:
    process = Process([*ARENA, "serve", "--dir", str(folder), "--port", str(unused_port()), "--console-remote"])
    try:
        assert process.popen.wait(START_WITHIN) == 1
        assert within(5, lambda: process.said("--public-url https://"))
    finally:
        process.end()
