"""Attacks on the doors of a real server, small and bounded: whoever is honest beside them is served."""

from __future__ import annotations

import json
import selectors
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil
import pytest

from arena.demo.simulated_voters import Form, SimulatedVoter, VoterError
from arena.server.network import raise_descriptor_limit, with_address
from arena.services import bracket
from arena.services.schemas import EventRules
from arena.web.cookies import VOTER_COOKIE, serializer
from tests.support.bundles import header_of, verse, verses
from tests.support.evening import Evening
from tests.support.server import Wire, ask, within
from trainer.verse.identity import new_secret

pytestmark = pytest.mark.slow
SILENT = 4_200  # connections that send the head of a vote and nothing more
TRICKLING = 65  # connections that send a claim, slowly; one more than may arrive at once
PIECES = 32  # that may arrive at once
RATE = 9 * 1_024  # bytes a second, just above what a claim needs
HONEST_UPLOAD = 5.0  # seconds
HONEST_VOTE = 1.0


@pytest.fixture(scope="module")
def entering(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Evening]:
    """A served event that takes entries."""
    served = Evening(tmp_path_factory.mktemp("entering") / "event", now=None).begin(EventRules(max_open=100))
    served.serve()
    yield served
    served.end()


@pytest.fixture(scope="module")
def voting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Evening]:
    """A served event whose final is open."""
    served = Evening(tmp_path_factory.mktemp("voting") / "event", now=None).begin()
    served.drawn(verses(2))
    bracket.open_match(served.db, "r1m1", seconds=0, now=time.time())
    served.serve()
    yield served
    served.end()


def claim_head(length: int, secret: str | None = None) -> str:
    return (
        "POST /api/v1/entries?name=Slow HTTP/1.1\r\nHost: x\r\n"
        f"Authorization: Bearer {secret or new_secret()}\r\nContent-Length: {length}\r\n\r\n"
    )


def cookie_of(evening: Evening) -> str:
    """The cookie of a new phone, as the server would sign it."""
    return f"{VOTER_COOKIE}={serializer(evening.settings, 'voter').dumps(new_secret())}"


@contextmanager
def trickling(port: int, heads: list[str], rate: int = RATE) -> Iterator[None]:
    """Connections that send a body at so many bytes a second, and begin again when they are turned away.

    There are more than the server has places for: once it has turned one away, the others hold every place.
    """
    stop = threading.Event()
    wires = [Wire(port).send(head) for head in heads]
    with selectors.DefaultSelector() as selector:
        for wire in wires:
            selector.register(wire.socket, selectors.EVENT_READ)
        assert selector.select(30)

    def drip() -> None:
        while not stop.wait(0.25):
            for number, wire in enumerate(wires):
                try:
                    wire.send(b"x" * (rate // 4))
                except OSError:
                    wire.close()
                    wires[number] = Wire(port).send(heads[number])

    thread = threading.Thread(target=drip, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        for wire in wires:
            wire.close()


def seconds_of_claim(evening: Evening, number: int) -> float:
    """How long an honest claim takes, which may be told to try again."""
    header = header_of(verse(number))
    request = f"POST /api/v1/entries?name=Ada\nAuthorization: Bearer {new_secret()}"
    start = time.monotonic()

    def taken() -> bool:
        try:
            return ask(evening.port, request, header)[0] == 201
        except OSError:
            return False

    assert within(60, taken)
    return time.monotonic() - start


def test_an_honest_claim_is_served_beside_claims_that_trickle(entering: Evening) -> None:
    with trickling(entering.port, [claim_head(1_000_000) for _ in range(TRICKLING)]):
        for number in (10, 11, 12):
            assert seconds_of_claim(entering, number) < HONEST_UPLOAD


def test_an_honest_piece_is_served_beside_pieces_that_trickle(entering: Evening) -> None:
    entries = []
    for number in range(PIECES):  # the attackers own their entries: others may send no piece at all
        secret = new_secret()
        header = header_of(verse(20))
        answer = ask(entering.port, f"POST /api/v1/entries?name=E\nAuthorization: Bearer {secret}", header)
        assert answer[0] == 201, number
        entries.append((secret, json.loads(answer[2])["entry"], len(header)))
    heads = [
        f"PATCH /api/v1/entries/{entry} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {secret}\r\n"
        f"Upload-Offset: {offset}\r\nContent-Length: 1000000\r\n\r\n"
        for secret, entry, offset in entries
    ]
    data, secret = verse(21), new_secret()
    header = header_of(data)
    taken = json.loads(ask(entering.port, f"POST /api/v1/entries?name=A\nAuthorization: Bearer {secret}", header)[2])
    with trickling(entering.port, 2 * heads):
        start = time.monotonic()
        request = f"PATCH /api/v1/entries/{taken['entry']}\nAuthorization: Bearer {secret}"
        answer = ask(entering.port, f"{request}\nUpload-Offset: {len(header)}", data[len(header) :])
        assert (answer[0], json.loads(answer[2])["state"]) == (200, "waiting")
        assert time.monotonic() - start < HONEST_UPLOAD


def test_an_honest_form_is_served_beside_forms_that_trickle(entering: Evening) -> None:
    head = "POST /enter HTTP/1.1\r\nHost: x\r\nCookie: {}\r\nContent-Length: 100000000\r\n\r\n"
    browser = SimulatedVoter(entering.url)
    token = Form(browser.get("/enter"), "/enter").fields["token"]
    (cookie,) = browser.cookies
    parts = {"token": token.encode(), "name": b"Ada", 'bundle"; filename="a.verse': verse(22)}
    form = b"".join(
        f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'.encode() + value + b"\r\n"
        for name, value in parts.items()
    )
    request = f"POST /enter\nCookie: {cookie.name}={cookie.value}\nContent-Type: multipart/form-data; boundary=b"
    with trickling(entering.port, [head.format(cookie_of(entering)) for _ in range(16)], rate=70_000):
        start = time.monotonic()
        assert ask(entering.port, request, form + b"--b--\r\n")[0] == 303
        assert time.monotonic() - start < HONEST_UPLOAD


def test_who_cannot_be_anybody_is_refused_by_the_head(entering: Evening) -> None:
    for path in ("POST /api/v1/entries?name=A", f"PATCH /api/v1/entries/{'0' * 32}"):
        for who in ("", "Authorization: Bearer short\r\n", "Authorization: Basic QTpC\r\n", "Cookie: t=x\r\n"):
            wire = Wire(entering.port, timeout=5).send(f"{path} HTTP/1.1\r\nHost: x\r\n{who}Content-Length: 9\r\n\r\n")
            wire.socket.shutdown(1)
            assert wire.answer()[0] == 401, (path, who)
            wire.close()


def test_a_stranger_holds_no_place_for_pieces(entering: Evening) -> None:
    head = (
        f"PATCH /api/v1/entries/{'0' * 32} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {new_secret()}\r\n"
        "Upload-Offset: 0\r\nContent-Length: 1000000\r\n\r\n"
    )
    wire = Wire(entering.port, timeout=5).send(head)
    assert wire.answer()[0] == 404
    wire.close()


def test_an_honest_claim_is_served_beside_headers_that_take_long_to_read(entering: Evening) -> None:
    lists = ",".join(["[[[[]]]]"] * 110_000)
    text = json.dumps({"__metadata__": {"verse": f'{{"format": 1, "x": [{lists}]}}'}}).encode()
    header = len(text).to_bytes(8, "little") + text
    stop, answered = threading.Event(), threading.Event()

    def send() -> None:
        while not stop.is_set():
            with suppress(OSError):
                request = f"POST /api/v1/entries?name=Slow\nAuthorization: Bearer {new_secret()}"
                assert ask(entering.port, request, header)[0] in (422, 503)
                answered.set()

    threads = [threading.Thread(target=send, daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        assert answered.wait(30)
        for number in (13, 14):
            assert seconds_of_claim(entering, number) < HONEST_UPLOAD
    finally:
        stop.set()
        for thread in threads:
            thread.join()


@contextmanager
def silent(port: int, heads: list[bytes]) -> Iterator[list[Wire]]:
    """Connections that have sent these bytes and nothing more, as many as this machine lets one process open."""
    most = raise_descriptor_limit() // 2
    wires = []
    try:
        for head in heads[:most]:
            wires.append(Wire(port).send(head))
        yield wires
    finally:
        for wire in wires:
            wire.close()


def vote_seconds(evening: Evening) -> float:
    """How long an honest voter waits for a vote to be confirmed, with its page."""
    voter = SimulatedVoter(evening.url)
    start = time.monotonic()
    voter.vote("r1m1", 0, lambda sides: sides[0])
    return time.monotonic() - start


@pytest.mark.parametrize("sent", ["nothing", "half a head", "a head without a cookie", "the head of a vote"])
def test_an_honest_vote_is_served_beside_silent_connections(voting: Evening, sent: str) -> None:
    vote = "POST /vote HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n"
    heads = {
        "nothing": [b""] * SILENT,
        "half a head": [vote.encode()] * SILENT,
        "a head without a cookie": [f"{vote}\r\n".encode()] * SILENT,
        "the head of a vote": [f"{vote}Cookie: {cookie_of(voting)}\r\n\r\n".encode() for _ in range(SILENT)],
    }[sent]
    with silent(voting.port, heads):
        seconds = [vote_seconds(voting) for _ in range(3)]  # none is refused
        assert min(seconds) < HONEST_VOTE, "the other two may have met a busy machine"


def test_a_silent_vote_has_three_seconds(voting: Evening) -> None:
    head = f"POST /vote HTTP/1.1\r\nHost: x\r\nCookie: {cookie_of(voting)}\r\nContent-Length: 100\r\n\r\n"
    start = time.monotonic()
    wire = Wire(voting.port).send(head)
    assert wire.answer()[0] == 408
    assert 2.5 < time.monotonic() - start < 8.0
    wire.close()


def test_one_phone_has_one_vote_under_way(voting: Evening) -> None:
    head = f"POST /vote HTTP/1.1\r\nHost: x\r\nCookie: {cookie_of(voting)}\r\nContent-Length: 100\r\n\r\n"
    with silent(voting.port, [head.encode()] * 50) as wires:
        with selectors.DefaultSelector() as selector:
            for wire in wires:
                selector.register(wire.socket, selectors.EVENT_READ)
            ended = set()
            deadline = time.monotonic() + 2.0
            while len(ended) < 49 and time.monotonic() < deadline:
                ended.update(key.fd for key, _ in selector.select(0.1))
        assert len(ended) == 49, "only the last connection still has its place"


def test_the_console_answers_while_the_public_port_is_flooded(voting: Evening) -> None:
    heads = [f"POST /vote HTTP/1.1\r\nHost: x\r\nCookie: {cookie_of(voting)}\r\nContent-Length: 9\r\n\r\n".encode()]
    with silent(voting.port, heads * 500):
        start = time.monotonic()
        status, _, page = ask(voting.server.console_port, "GET /console/login")  # type: ignore[union-attr]
        assert (status, b"Password" in page) == (200, True)
        assert time.monotonic() - start < HONEST_UPLOAD


def test_the_organizer_logs_in_and_acts_beside_silent_logins_and_guesses(voting: Evening) -> None:
    assert voting.server is not None
    port, stop = voting.server.console_port, threading.Event()
    organizer = SimulatedVoter(voting.console_url)

    def log_in(browser: SimulatedVoter, password: str) -> str:
        fields = Form(browser.get("/console/login"), "/console/login").fields
        return browser.post("/console/login", {**fields, "password": password})

    def guess() -> None:
        while not stop.is_set():
            with suppress(VoterError):
                log_in(SimulatedVoter(voting.console_url), "guess")

    login = "POST /console/login HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n\r\nx"
    guesser = threading.Thread(target=guess, daemon=True)
    guesser.start()
    try:
        with silent(port, [login.encode()] * 200):
            start = time.monotonic()
            assert "Log out" in log_in(organizer, voting.settings.console_password)
            assert "Log out" in organizer.get("/console")
            assert time.monotonic() - start < HONEST_UPLOAD
    finally:
        stop.set()
        guesser.join()


def test_a_tunnel_to_the_public_port_finds_no_console(voting: Evening) -> None:
    for path in ("/console", "/console/login"):
        status, _, page = ask(voting.port, f"GET {path}")  # with Host: 127.0.0.1, as a tunnel sends it
        assert (status, b'type="password"' in page) == (404, False)


def test_the_console_listens_on_this_machine_only(voting: Evening) -> None:
    served = voting.server
    assert served is not None
    (address,) = {
        connection.laddr.ip
        for connection in served.children["web"].net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN and connection.laddr.port == served.console_port
    }
    assert address == "127.0.0.1"
    assert with_address(voting.settings, lan="192.168.1.5", port=0).console_host == "127.0.0.1"
