"""Polls, pages and durable votes of the real server, beside an empty application under the same granian.

    python -m tests.bench serving
    PHONES=10000 VOTES=6 STALLED=2000 python -m tests.bench serving
    DATABASE=postgresql python -m tests.bench serving

One server with its worker, SQLite in WAL mode with synchronous=FULL or PostgreSQL with its defaults and 200
connections, and one load generator, all on one machine's loopback: the generator takes about a core, which on two cores
is half of what there is.
"""

from __future__ import annotations

import gzip
import os
import random
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from sqlalchemy import case, func, select

from arena.server.network import raise_descriptor_limit
from arena.server.server import web_server
from arena.services import bracket, queries
from arena.store.schema import Vote
from tests.bench.load import Line, Outcome, Planned, as_fast_as_it_goes, by_the_clock, hang_up, lines
from tests.support.bundles import verses
from tests.support.evening import Evening
from tests.support.postgresql import PostgresServer
from tests.support.server import ARENA, Process, ask, unused_port, within

SECONDS = 3.0  # of each run at full speed
ROUNDS = 3  # alternating; the median counts
PHONES = int(os.environ.get("PHONES", "2000"))
VOTES = int(os.environ.get("VOTES", "2"))  # of the whole room, one after the other
VOTERS = max(4_000, PHONES)
STALLED = int(os.environ.get("STALLED", "2000"))
POLL_EVERY = 4.0  # seconds, as arena.js does
VOTE_WITHIN = 30.0  # seconds
EMPTY = "import sys; from tests.bench.serving import empty_server; empty_server(int(sys.argv[1]))"


async def empty(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """The least that an ASGI application can do, with an answer of a snapshot's size."""
    if scope["type"] == "lifespan":
        for what in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{what}.complete"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": b"x" * 360})


def load_empty() -> Any:
    """What the empty server's process loads."""
    from arena.server.server import end_with_main_process
    from tests.bench.serving import empty as application

    end_with_main_process()
    return application


def empty_server(port: int) -> None:
    """The peer: granian, set as for the real application."""
    from tests.bench.serving import load_empty as load

    web_server("127.0.0.1", port, raise_descriptor_limit()).serve(target_loader=load, wrap_loader=False)


class Meter:
    """Processor time and memory of a server and its children: beside other programs, more telling than the clock."""

    def __init__(self, pid: int) -> None:
        server = psutil.Process(pid)
        self._all = [server, *server.children(recursive=True)]
        self._last = self._total()

    def _total(self) -> float:
        return sum(sum(one.cpu_times()[:2]) for one in self._all)

    def memory(self) -> int:
        """Return the bytes of memory that they hold."""
        return sum(one.memory_info().rss for one in self._all if one.is_running())

    def each(self, count: int) -> float:
        """Milliseconds for each of so many requests since the last call."""
        last, self._last = self._last, self._total()
        return 1_000 * (self._last - last) / max(1, count)


@contextmanager
def running(command: list[str], port: int) -> Iterator[Meter]:
    """A server process, once it answers."""
    process = Process(command)

    def answers() -> bool:
        try:
            return ask(port, "GET /api/v1/state")[0] == 200
        except OSError:
            return False

    try:
        if not within(60, answers):
            raise RuntimeError("\n".join(process.lines))
        yield Meter(process.popen.pid)
    finally:
        process.end()


@contextmanager
def database() -> Iterator[dict[str, str]]:
    """The settings of the database that DATABASE names: none for SQLite's file."""
    if os.environ.get("DATABASE") != "postgresql":
        yield {}
        return
    server = PostgresServer(durable=True)
    try:
        yield {"database_url": server.new_database()}
    finally:
        server.end()


def prepare(folder: Path, settings: dict[str, str]) -> Evening:
    """An event with two verses and their match open until it is closed by hand."""
    evening = Evening(folder, now=None, **settings).begin()
    evening.drawn(verses(2))
    bracket.open_match(evening.db, "r1m1", seconds=0, now=evening.now)
    return evening


def get(path: str, *headers: str) -> bytes:
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: 127.0.0.1", *headers, "", ""]).encode()


def polls(empty_port: int, port: int, meters: dict[int, Meter]) -> None:
    """Polls a second, alternating with the empty application."""
    etag = ask(port, "GET /api/v1/state")[1]["etag"]
    cases = {
        "empty application": (empty_port, get("/api/v1/state")),
        "state poll, unchanged (304)": (port, get("/api/v1/state", f"If-None-Match: {etag}")),
        "state poll, changed (200)": (port, get("/api/v1/state")),
    }
    for count in (64, 2_000):
        runs_of: dict[str, list[tuple[Outcome, float]]] = {name: [] for name in cases}
        for _ in range(ROUNDS):
            for name, (where, request) in cases.items():
                connected = lines(where, count)
                meters[where].each(1)
                outcome = as_fast_as_it_goes(connected, lambda request=request: request, SECONDS)
                runs_of[name].append((outcome, meters[where].each(len(outcome.latencies))))
                hang_up(connected)
        peer = statistics.median(outcome.rate for outcome, _ in runs_of["empty application"])
        print(f"{count:,} connections, each asking again when it is answered:")
        for name, runs in runs_of.items():
            rate = statistics.median(outcome.rate for outcome, _ in runs)
            p99 = statistics.median(outcome.percentile(99) for outcome, _ in runs)
            each = statistics.median(each for _, each in runs)
            print(
                f"  {name:<30} {rate:>9,.0f}/s   {rate / peer:>5.2f} of empty   p99 {1000 * p99:>6.1f} ms   "
                f"processor {each:.3f} ms each"
            )


def page_size(port: int) -> None:
    """What a phone fetches first: the page with its style and script, compressed."""
    zipped = "\nAccept-Encoding: gzip"
    page = ask(port, "GET /" + zipped)[2]
    parts = sorted(set(re.findall(r'(/static/[^"]+)', gzip.decompress(page).decode())))
    sizes = [len(page), *(len(ask(port, f"GET {part}{zipped}")[2]) for part in parts)]
    print(f"first page compressed, with its {len(parts)} files: {sum(sizes) / 1000:.1f} KB")


class Voters:
    """Phones that have opened the page: each has its cookie and its form."""

    def __init__(self, port: int, count: int, meter: Meter) -> None:
        self.ready: list[tuple[bytes, bytes]] = []  # the votes of one phone: for either side
        connected, left = lines(port, 32), iter(range(count))
        meter.each(1)
        outcome = as_fast_as_it_goes(
            connected, lambda: get("/") if next(left, None) is not None else None, 600.0, self._page
        )
        hang_up(connected)
        print(
            f"first page, a new voter each: {outcome.rate:,.0f}/s, p99 {1000 * outcome.percentile(99):.1f} ms, "
            f"processor {meter.each(count):.2f} ms each"
        )

    def _page(self, answer: bytes) -> None:
        text = answer.decode()
        cookie = re.search(r"(?i)set-cookie: (t=[^;]+)", text)
        fields = dict(re.findall(r'name="(token|match|poll_round)" value="([^"]*)"', text))
        if cookie is None or len(fields) != 3:
            raise RuntimeError("the page of a vote looks different from what the bench knows")
        form = "&".join(f"{name}={value}" for name, value in fields.items())
        self.ready.append((_vote(cookie[1], f"{form}&side=left"), _vote(cookie[1], f"{form}&side=right")))


def _vote(cookie: str, form: str) -> bytes:
    return (
        "POST /vote HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/x-www-form-urlencoded\r\n"
        f"Cookie: {cookie}\r\nContent-Length: {len(form)}\r\n\r\n{form}"
    ).encode()


def votes(port: int, event: Evening, meter: Meter) -> list[tuple[bytes, bytes]]:
    """Durable votes a second through the whole application."""
    forms = Voters(port, VOTERS, meter).ready
    for count, first, last in ((1, 0, 300), (32, 300, 2_000), (256, 2_000, VOTERS)):
        connected, left = lines(port, count), (random.choice(form) for form in forms[first:last])
        before = counted(event)
        meter.each(1)
        outcome = as_fast_as_it_goes(connected, lambda left=left: next(left, None), 600.0)
        hang_up(connected)
        size = len(outcome.latencies)
        if outcome.statuses[303] != size or outcome.unanswered:
            raise RuntimeError(f"votes were not all taken: {dict(outcome.statuses)}, {outcome.unanswered} unanswered")
        print(
            f"durable votes, {count:>3} at once: {outcome.rate:>6,.0f}/s, p50 {1000 * outcome.percentile(50):.1f} ms, "
            f"p99 {1000 * outcome.percentile(99):.1f} ms, processor {meter.each(size):.2f} ms each"
        )
        if counted(event) - before != size:
            raise RuntimeError(f"{size} votes were confirmed, and {counted(event) - before} count")
    return forms


def counted(event: Evening) -> int:
    """Votes in the open match."""
    match = queries.console_view(event.db, now=time.time()).open
    return match.votes or 0 if match else 0


def tallies(event: Evening) -> list[int]:
    """Votes for the left and the right verse, as the database has them: one for each voter."""
    side = case((Vote.choice == Vote.shown_left, "left"), else_="right")  # as its voter saw them
    with event.db.reading() as session:
        counts = dict(session.execute(select(side, func.count()).group_by(side)).all())
    return [counts.get("left", 0), counts.get("right", 0)]


def poll_times(seconds: float, chance: random.Random) -> Iterator[float]:
    """When one phone polls within these seconds."""
    at = chance.uniform(0, POLL_EVERY)
    while at < seconds:
        yield at
        at += POLL_EVERY * chance.uniform(0.8, 1.2)


def room(port: int, forms: list[tuple[bytes, bytes]], count: int, side: int) -> None:
    """Phones that poll every 4 seconds and all vote within 30; latencies from when each request was due."""
    time.sleep(0.5)  # until the snapshot shows the latest votes
    etag = ask(port, "GET /api/v1/state")[1]["etag"]
    poll, chance = get("/api/v1/state", f"If-None-Match: {etag}"), random.Random(1)
    connected, plan, number = lines(port, count), [], 0
    for phone, line in enumerate(connected):
        for at in poll_times(VOTE_WITHIN, chance):
            plan.append(Planned(at, number, line, poll, "polls"))
            number += 1
        plan.append(Planned(chance.uniform(0, VOTE_WITHIN), number, line, forms[phone][side], "votes"))
        number += 1
    outcomes = by_the_clock(plan)
    hang_up(connected)
    for kind, one in sorted(outcomes.items()):
        print(
            f"{count:,} phones, {kind}: {len(one.latencies):,} answered at {one.rate:,.0f}/s, "
            f"p50 {1000 * one.percentile(50):.1f} ms, p99 {1000 * one.percentile(99):.1f} ms, "
            f"slowest {1000 * one.percentile(100):.0f} ms, {one.unanswered} unanswered, {dict(one.statuses)}"
        )


def stalled(port: int, forms: list[tuple[bytes, bytes]], count: int) -> None:
    """Polls beside connections that send no more: nothing at all, half a head, or a vote without its last byte."""
    print(f"polls beside {count:,} stalled connections:")
    votes = [forms[number % len(forms)][0][:-1] for number in range(count)]
    kinds = {"none": [], "silent": [b""] * count, "heads": [b"GET / HTTP/1.1\r\n"] * count, "votes": votes}
    for name, begin in kinds.items():
        holding = []
        for sent in begin:
            holding.append(Line(port))
            holding[-1].send(sent)
        asking = lines(port, 20)
        plan = [Planned(i * 0.01, i, asking[i % 20], get("/api/v1/state"), "polls") for i in range(500)]
        outcome = by_the_clock(plan)["polls"]
        hang_up([*holding, *asking])
        print(
            f"  {name:<8} p50 {1000 * outcome.percentile(50):>5.1f} ms   "
            f"p99 {1000 * outcome.percentile(99):>6.1f} ms   "
            f"slowest {1000 * outcome.percentile(100):>6.1f} ms   {outcome.unanswered} unanswered"
        )


def disk(folder: Path) -> None:
    """What one durable write costs here, for comparison."""
    path, times = folder / "sync", []
    with path.open("wb") as file:
        for _ in range(200):
            start = time.perf_counter()
            file.write(b"x" * 4_096)
            file.flush()
            os.fsync(file.fileno())
            times.append(time.perf_counter() - start)
    path.unlink()
    print(f"fsync of 4 KiB on this disk: median {1e3 * statistics.median(times):.2f} ms")


def main() -> None:
    """Run it all: some two minutes."""
    raise_descriptor_limit()
    with tempfile.TemporaryDirectory() as name, database() as settings:
        folder = Path(name) / "event"
        event = prepare(folder, settings)
        disk(folder)
        empty_port, port = unused_port(), unused_port()
        with (
            running([sys.executable, "-c", EMPTY, str(empty_port)], empty_port) as empty_meter,
            running([*ARENA, "serve", "--dir", str(folder), "--port", str(port)], port) as meter,
        ):
            polls(empty_port, port, {empty_port: empty_meter, port: meter})
            page_size(port)
            forms = votes(port, event, meter)
            for number in range(VOTES):
                room(port, forms, PHONES, number % 2)
                sides = tallies(event)
                print(f"the votes count as {sides}; the server and its processes hold {meter.memory() / 1e6:.0f} MB")
                if sides[number % 2] < PHONES or sum(sides) != VOTERS:
                    raise RuntimeError("not every vote counts where it was given last")
            stalled(port, forms, STALLED)
        event.end()
