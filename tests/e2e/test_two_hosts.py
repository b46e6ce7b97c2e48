"""Two hosts serve one event in PostgreSQL, behind a proxy that gives each connection to the other one."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from sqlalchemy import select

from arena.cli import main
from arena.demo.simulated_voters import Form, SimulatedVoter, VoterError
from arena.services import queries
from arena.services.drawing import draw_bracket
from arena.services.identity import identity_of
from arena.services.log import verify_log
from arena.store.schema import LogRecord, Vote
from arena.web.cookies import read_voter
from arena.web.routes import EVENTS, STATE
from tests.support.bundles import verses
from tests.support.evening import WORD, Evening, secret_of
from tests.support.postgresql import NEEDS_POSTGRESQL, PostgresServer
from tests.support.proxy import AlternatingProxy
from tests.support.server import ArenaServer, Wire, ask, within
from trainer.submission.event import fetch_event
from trainer.submission.http_client import Address, EventClient
from trainer.submission.upload import send_bundle

pytest.importorskip("psycopg", reason="psycopg is not installed: pip install 'verse-arena[cluster]'")
pytest.importorskip("obstore", reason="obstore is not installed: pip install 'verse-arena[cluster]'")
pytestmark = [pytest.mark.slow, *NEEDS_POSTGRESQL]
POETS, PHONES = 4, 5  # an odd number of phones: no match is a tie
AT_LAST = 120.0  # seconds for anything to happen on a busy machine


def arena(*words: str, answer: str = "", **variables: str) -> str:
    result = CliRunner(env=variables).invoke(main, list(words), input=answer, prog_name="arena")
    assert result.exit_code == 0, (words, result.output)
    return result.output


class Hosts:
    """The event, its two servers, and what stands in front of them."""

    def __init__(self, folder: Path) -> None:
        self.postgres, self.proxy = PostgresServer(), AlternatingProxy()
        self.folders = [folder / "first", folder / "second"]
        self.servers: list[ArenaServer] = []
        shared = {"ARENA_DATABASE_URL": self.postgres.new_database(), "ARENA_BUNDLES": (folder / "bundles").as_uri()}
        first = ["--name", "Poets", "--public-url", self.proxy.url, "--reading-seconds", "0"]
        arena("init", str(self.folders[0]), *first, **shared)  # as the services `make` and `join` of compose.yaml do
        arena("init", str(self.folders[1]), "--join", str(self.folders[0] / "secrets.json"), **shared)
        for each in self.folders:
            path = each / "settings.json"
            path.write_text(json.dumps(json.loads(path.read_text()) | {"min_free_bytes": 0}))
        self.evening = Evening(self.folders[0], now=None)

    def serve(self) -> None:
        self.servers = [ArenaServer(folder) for folder in self.folders]
        self.proxy.ports = [server.port for server in self.servers]

    def end(self) -> None:
        for server in self.servers:
            server.end()
        self.evening.end()
        self.proxy.end()
        self.postgres.end()


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    hosts = Hosts(tmp_path_factory.mktemp("hosts"))
    try:
        hosts.serve()
        yield hosts
    finally:
        hosts.end()


class Listener:
    """A phone that listens to one of the hosts."""

    def __init__(self, port: int, cookie: str) -> None:
        self._wire, self.heard = Wire(port, timeout=AT_LAST), b""
        self._wire.send(f"GET {EVENTS.path} HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: {cookie}\r\n\r\n")
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        try:
            while data := self._wire.socket.recv(65_536):
                self.heard += data
        except OSError:
            pass

    def close(self) -> None:
        self._wire.socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._wire.close()


def cookie_of(phone: SimulatedVoter) -> str:
    return "; ".join(f"{cookie.name}={cookie.value}" for cookie in phone.cookies)


def voter_id(hosts: Hosts, phone: SimulatedVoter) -> str:
    secret = read_voter(hosts.evening.settings, cookie_of(phone))
    assert secret is not None
    return identity_of(secret).voter_id


def vote(phone: SimulatedVoter, match: str) -> str:
    """Vote for the side on the left, as a person who tries until the page says that the vote is in."""
    deadline = time.monotonic() + AT_LAST
    while time.monotonic() < deadline:
        try:
            form = Form(phone.get("/"), "/vote")
            if form.fields.get("match") == match and 'class="voted"' in phone.post(
                "/vote", form.fields | {"side": "left"}
            ):
                return "left"
        except VoterError:
            pass
        threading.Event().wait(0.1)
    raise AssertionError(f"no vote on {match} was taken")


def choices(hosts: Hosts) -> dict[tuple[str, str], list[str]]:
    """The votes in the database by match and voter: what was shown on the left is what was voted for."""
    with hosts.evening.db.reading() as session:
        rows = session.scalars(select(Vote)).all()
    found: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        found.setdefault((row.match_id, row.voter_id), []).append("left" if row.choice == row.shown_left else "right")
    return found


def counted(hosts: Hosts) -> Counter[tuple[str, int, int]]:
    """How often the votes of each round were counted."""
    with hosts.evening.db.reading() as session:
        records = session.scalars(select(LogRecord).where(LogRecord.kind == "votes-counted")).all()
    data = [json.loads(record.data) for record in records]
    return Counter((one["match"], one["poll"], one["poll_round"]) for one in data)


def close(hosts: Hosts, match: str) -> None:
    """Let the match's time be over, and wait until one of the hosts has counted."""
    arena("match", "time", "--seconds", "0.01", "--dir", str(hosts.folders[1]))

    def is_closed() -> bool:
        view = queries.console_view(hosts.evening.db, now=hosts.evening.now)
        return next(one for one in view.matches if one.id == match).state == "closed"

    assert within(AT_LAST, is_closed), [server.lines[-5:] for server in hosts.servers]


def test_an_evening_goes_through_two_hosts_restarts_of_the_database_and_the_death_of_a_host(hosts: Hosts) -> None:
    evening, phones = hosts.evening, [SimulatedVoter(hosts.proxy.url) for _ in range(PHONES)]
    pids = [server.popen.pid for server in hosts.servers]
    families = [{name: child.pid for name, child in server.children.items()} for server in hosts.servers]
    arena("event", "open", "--dir", str(hosts.folders[1]))
    for number, bundle in enumerate(verses(POETS)):
        path = hosts.folders[0].parent / f"{number}.verse"
        path.write_bytes(bundle)
        client = EventClient(Address.parse(hosts.proxy.url), secret_of(f"poet{number}"))
        send_bundle(path, client, f"poet{number}", fetch_event(client))
        client.close()
    evening.wait_until_verified(POETS)
    evening.close()
    draw_bracket(evening.db, word=WORD, now=evening.now)

    # The first match, through both hosts; both tell their phones of it
    for phone in phones:
        phone.get("/")
    listeners = [Listener(server.port, cookie_of(phones[0])) for server in hosts.servers]
    assert within(AT_LAST, lambda: all(b"event: state" in one.heard for one in listeners))
    arena("match", "open", "--seconds", "600", "--dir", str(hosts.folders[1]))
    assert within(AT_LAST, lambda: all(b"event: page" in one.heard and b"r1m1" in one.heard for one in listeners))
    states = [ask(server.port, f"GET {STATE.path}") for server in hosts.servers]
    assert states[0][1]["etag"] == states[1][1]["etag"] and states[0][2] == states[1][2]
    for phone in phones:
        vote(phone, "r1m1")
    close(hosts, "r1m1")
    for one in listeners:
        one.close()
    assert min(hosts.proxy.carried[server.port] for server in hosts.servers) > PHONES

    # The second, in which PostgreSQL crashes and starts again
    arena("match", "open", "--seconds", "600", "--dir", str(hosts.folders[0]))
    for phone in phones[:2]:
        vote(phone, "r1m2")
    hosts.postgres.stop("immediate")
    for server in hosts.servers:
        status, _, page = ask(server.port, "GET /\nAccept: text/html\nCookie: " + cookie_of(phones[0]))
        assert status == 503 and b"cannot use its storage now" in page
        status, _, state = ask(server.port, f"GET {STATE.path}")
        assert status == 200 and json.loads(state)["match"]["id"] == "r1m2", "the state is told from memory"
    trying = [threading.Thread(target=vote, args=(phone, "r1m2")) for phone in phones[2:]]
    for thread in trying:
        thread.start()
    hosts.postgres.start()
    for thread in trying:
        thread.join()
    assert {key for key in choices(hosts) if key[0] == "r1m2"} == {("r1m2", voter_id(hosts, one)) for one in phones}
    close(hosts, "r1m2")

    # An orderly restart, after which all goes on without a process that was started again
    hosts.postgres.stop("fast")
    hosts.postgres.start()
    arena("match", "open", "--seconds", "600", "--dir", str(hosts.folders[0]))
    for phone in phones:
        vote(phone, "third")
    close(hosts, "third")
    assert [server.popen.pid for server in hosts.servers] == pids
    assert [{name: one.pid for name, one in server.children.items()} for server in hosts.servers] == families
    assert within(AT_LAST, lambda: [ask(one.port, "GET /readyz")[0] for one in hosts.servers] == [200, 200])

    # A host that dies in the final
    arena("match", "open", "--seconds", "600", "--dir", str(hosts.folders[1]))
    for phone in phones[:2]:
        vote(phone, "r2m1")
    hosts.servers[1].kill()
    for phone in phones[2:]:
        vote(phone, "r2m1")
    close(hosts, "r2m1")
    arena("event", "publish", "--dir", str(hosts.folders[1]), answer="y\n")
    matches = ("r1m1", "r1m2", "third", "r2m1")
    assert choices(hosts) == {(match, voter_id(hosts, one)): ["left"] for match in matches for one in phones}
    assert counted(hosts) == Counter((match, 0, 0) for match in matches)
    assert verify_log(evening.db) > 20 and evening.differences() == []
    assert b"poet" in ask(hosts.servers[0].port, "GET /results")[2]
