"""Slow and malicious clients of a real server: they use slots of their own and delay nobody else."""

from __future__ import annotations

import hashlib
import json
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from arena.web.limits import public_limits
from tests.support.server import Process, Wire, ask, unused_port, within

pytestmark = pytest.mark.slow
MIB = 2**20
STALLED = 200
GENEROUS = 5.0  # seconds for a poll: this is no measurement, the bench is
START = "import sys; from tests.support.server import small_server; small_server(sys.argv[1], int(sys.argv[2]))"


@pytest.fixture(scope="module")
def spool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("spool")


@pytest.fixture(scope="module")
def server(spool: Path) -> Iterator[Process]:
    with small_process(START, spool) as process:
        yield process


@contextmanager
def small_process(start: str, spool: Path) -> Iterator[Process]:
    """A server of the small application, once it answers."""
    port = unused_port()
    process = Process([sys.executable, "-c", start, str(spool), str(port)])
    process.port = port  # type: ignore[attr-defined]

    def answers() -> bool:
        try:
            return ask(port, "GET /api/v1/state")[0] == 200
        except OSError:
            return False

    try:
        assert within(60, answers), process.output
        yield process
    finally:
        process.end()


@pytest.fixture
def port(server: Process) -> int:
    return int(server.port)  # type: ignore[attr-defined]


def poll_seconds(port: int) -> float:
    start = time.monotonic()
    assert ask(port, "GET /api/v1/state")[0] == 200
    return time.monotonic() - start


def stall(port: int, request: str, length: int) -> Wire:
    """A request whose body never comes, but for its first byte."""
    return Wire(port).send(f"{request} HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\nx")


@pytest.mark.parametrize("request_line", ["POST /vote", "PATCH /api/v1/entries/abc", "POST /enter"])
def test_stalled_uploads_stop_neither_polls_nor_pages_nor_votes(port: int, request_line: str) -> None:
    stalled = [stall(port, request_line, 1_000) for _ in range(STALLED)]
    try:
        assert max(poll_seconds(port) for _ in range(20)) < GENEROUS
        assert ask(port, "POST /vote", b"side=left")[0] == 200
        assert ask(port, "GET /page")[0] == 200
    finally:
        for wire in stalled:
            wire.close()


def test_the_slowest_of_too_many_uploads_is_told_when_to_try_again(port: int) -> None:
    places = public_limits("POST", "/enter").max_concurrent
    stalled = [stall(port, "POST /enter", 1_000) for _ in range(places + 1)]
    try:
        ready, _, _ = select.select([wire.socket for wire in stalled], [], [], 8)  # the oldest
        refused = next(wire for wire in stalled if wire.socket in ready)
        status, headers, _ = refused.answer()
        assert (status, headers["retry-after"]) == (503, "3")
        assert refused.closed()
    finally:
        for wire in stalled:
            wire.close()
    assert within(10, lambda: ask(port, "POST /enter", b"x")[0] == 200), "places of those who left are free again"


def test_a_stalled_upload_gets_an_error_and_its_connection_is_closed(port: int) -> None:
    wire = stall(port, "POST /vote", 1_000)
    assert wire.answer()[0] == 408
    assert wire.closed()
    wire.close()


def test_a_body_too_large_is_refused_while_it_is_still_being_sent(port: int) -> None:
    wire = Wire(port).send(f"POST /vote HTTP/1.1\r\nHost: x\r\nContent-Length: {10 * MIB}\r\n\r\n")
    status, headers, body = wire.answer()
    assert (status, headers["connection"]) == (413, "close")
    assert b"4,096 bytes" in body
    assert wire.closed()
    wire.close()


def test_readers_who_do_not_read_hold_no_thread_and_little_memory(server: Process, port: int) -> None:
    web = psutil.Process(server.popen.pid).children()
    before = sum(one.memory_info().rss for one in web)
    readers = [Wire(port).send("GET /large/64 HTTP/1.1\r\nHost: x\r\n\r\n") for _ in range(30)]
    try:
        for _ in range(10):
            assert ask(port, "GET /page")[0] == 200
        assert poll_seconds(port) < GENEROUS
        after = sum(one.memory_info().rss for one in web)
        assert after - before < 300 * MIB, "thirty answers of 64 MiB are 1.9 GB"
    finally:
        for wire in readers:
            wire.close()


def test_a_large_upload_arrives_whole_through_a_file(port: int, spool: Path) -> None:
    body = bytes(range(256)) * 4 * 1_024 * 24  # 24 MiB
    status, _, answer = ask(port, "POST /enter", body)
    said = json.loads(answer)
    assert (status, said["size"], said["memory"]) == (200, len(body), False)
    assert said["sha256"] == hashlib.sha256(body).hexdigest()
    assert list(spool.iterdir()) == []


def test_one_connection_serves_one_request_after_the_other(port: int) -> None:
    wire = Wire(port)
    for number in range(50):
        wire.send("GET /api/v1/state HTTP/1.1\r\nHost: x\r\n\r\n")
        assert wire.answer()[0] == 200, number
        body = b"x" * number
        wire.send(f"POST /vote HTTP/1.1\r\nHost: x\r\nContent-Length: {number}\r\n\r\n".encode() + body)
        assert json.loads(wire.answer()[2])["size"] == number
    wire.close()


def test_a_body_in_chunks_arrives_whole(port: int) -> None:
    wire = Wire(port).send("POST /vote HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
    for piece in (b"side=", b"left"):
        wire.send(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
    wire.send("0\r\n\r\n")
    assert json.loads(wire.answer()[2])["size"] == 9
    wire.close()


@pytest.mark.parametrize(
    "nonsense",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /vote HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
        b"POST /vote HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef",
        b"GET /" + b"a" * 500_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X-A: b\r\n" * 100_000 + b"\r\n",
        b"GET /%ff%fe%00 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET http://other.example/ HTTP/1.1\r\nHost: x\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
)
def test_malformed_requests_end_their_own_connection_and_nothing_else(port: int, nonsense: bytes) -> None:
    wire = Wire(port, timeout=10)
    try:
        wire.send(nonsense)
        wire.socket.shutdown(1)
        while wire.socket.recv(65_536):
            pass
    except OSError:
        pass
    wire.close()
    assert ask(port, "GET /page")[0] == 200


@pytest.mark.skipif(sys.platform == "win32", reason="sockets are not counted there")
def test_more_connections_than_it_has_descriptors_for_wait_and_break_nothing(spool: Path) -> None:
    start = "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (400, 400)); " + START
    with small_process(start, spool) as process:
        port = int(process.port)  # type: ignore[attr-defined]
        silent = [Wire(port) for _ in range(300)]
        late = Wire(port, timeout=0.5).send("GET /api/v1/state HTTP/1.1\r\nHost: x\r\n\r\n")
        with pytest.raises(TimeoutError):
            late.answer()
        for wire in silent:
            wire.close()
        late.socket.settimeout(20)
        assert late.answer()[0] == 200
        late.close()
        assert process.popen.poll() is None
        assert process.lines == []


@pytest.mark.skipif(sys.platform == "win32", reason="there is no such limit there")
def test_the_limit_of_descriptors_is_raised_as_far_as_it_goes() -> None:
    code = "import resource as r; from arena.server.network import raise_descriptor_limit as raised;"
    code += "hard = r.getrlimit(r.RLIMIT_NOFILE)[1]; r.setrlimit(r.RLIMIT_NOFILE, (200, hard)); found = raised();"
    code += "soft = r.getrlimit(r.RLIMIT_NOFILE)[0]; print(200 < found < soft if hard > 1000 else found)"
    completed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert completed.stdout.strip() == "True"
