"""How long a change takes from its commit to the last of many open pages, over loopback.

    python -m tests.bench streams
    PHONES=10000 python -m tests.bench streams

Every phone has its cookie and listens. Matches are opened and closed; the time of a phone is that from the commit to
the last byte of the page that shows the change. The phones of the bench share the machine with the server.
"""

from __future__ import annotations

import os
import re
import selectors
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from arena.server.network import raise_descriptor_limit
from arena.services import bracket, queries
from arena.web.cookies import serializer
from tests.bench.serving import Meter, running
from tests.support.bundles import verses
from tests.support.evening import Evening, secret_of
from tests.support.server import ARENA, unused_port

PHONES = int(os.environ.get("PHONES", "2000"))
GIVE_UP = 20.0  # seconds for one change
EVENT = re.compile(rb"event: (\w+)\ndata: [^\n]*\n\n")


@dataclass
class Phone:
    """One connection that listens."""

    socket: socket.socket
    data: bytes = b""


@dataclass
class Room:
    """Phones that listen, read by one thread."""

    phones: list[Phone]
    pages: list[float] = field(default_factory=list)  # when a page was there, of each phone that got one
    gone: int = 0
    ended: bool = False

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Read while the block runs; then hang up."""
        reader = threading.Thread(target=self._read)
        reader.start()
        try:
            yield
        finally:
            self.ended = True
            reader.join()
            for phone in self.phones:
                phone.socket.close()

    def _read(self) -> None:
        with closing(selectors.DefaultSelector()) as selector:
            for phone in self.phones:
                selector.register(phone.socket, selectors.EVENT_READ, phone)
            while not self.ended:
                for key, _ in selector.select(0.2):
                    phone = key.data
                    chunk = phone.socket.recv(65_536)
                    if not chunk:
                        self.gone += 1
                        selector.unregister(phone.socket)
                        continue
                    phone.data += chunk
                    while found := EVENT.search(phone.data):
                        phone.data = phone.data[found.end() :]
                        if found[1] == b"page":
                            self.pages.append(time.perf_counter())


def connect(event: Evening, port: int, count: int, name: str = "phone") -> list[Phone]:
    """Phones with a cookie each, whose stream has begun."""
    sign = serializer(event.settings, "voter")
    phones = []
    for number in range(count):
        line = socket.create_connection(("127.0.0.1", port), timeout=30)
        cookie = sign.dumps(secret_of(f"{name} {number}"))
        line.sendall(f"GET /api/v1/events HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: t={cookie}\r\n\r\n".encode())
        phones.append(Phone(line))
    for phone in phones:
        while b"\n\n" not in phone.data.partition(b"\r\n\r\n")[2]:
            chunk = phone.socket.recv(65_536)
            if not chunk.strip() or phone.data.startswith(b"HTTP/1.1 503"):
                raise RuntimeError(f"a phone was not heard: {phone.data[:200]!r}")
            phone.data += chunk
        phone.data = b""
        phone.socket.setblocking(False)
    return phones


def open_and_undo(event: Evening) -> None:
    """Change what every page shows: open the first match, or undo it if it is open."""
    match = queries.get_open_match(event.db, now=time.time())
    if match is not None:
        bracket.undo_match(event.db, match.id, now=time.time())
    else:
        bracket.open_match(event.db, "r1m1", seconds=0, now=time.time())


def measure(event: Evening, port: int, count: int, meter: Meter, changes: int = 8) -> list[float]:
    """Seconds from the commit of each change to the page of every phone."""
    web = max(psutil.Process(os.getpid()).children(recursive=True), key=lambda one: one.memory_info().rss)
    before = web.memory_info().rss
    room = Room(connect(event, port, count))
    held = (web.memory_info().rss - before) / count / 1_024
    seconds: list[float] = []
    with room.reading():
        meter.each(1)
        for _ in range(changes):
            room.pages.clear()
            time.sleep(1.0)
            open_and_undo(event)
            start = time.perf_counter()
            while len(room.pages) < count and time.perf_counter() - start < GIVE_UP:
                time.sleep(0.01)
            if len(room.pages) != count:
                raise RuntimeError(f"{count - len(room.pages)} of {count} phones missed a change, {room.gone} left")
            seconds += [at - start for at in room.pages]
        cost = meter.each(changes * count)
    ordered = sorted(seconds)
    print(
        f"{count:,} phones, {changes} changes: p50 {ordered[len(ordered) // 2]:.3f} s, "
        f"p99 {ordered[int(0.99 * len(ordered))]:.3f} s, last {ordered[-1]:.3f} s; "
        f"processor {cost:.3f} ms for each page sent; memory {held:.1f} KiB for each phone"
    )
    return ordered


def measure_changes(folder: Path, count: int) -> list[float]:
    """Serve an event in a folder, and measure with so many phones."""
    event = Evening(folder, now=None).begin()
    event.drawn(verses(2))
    port = unused_port()
    try:
        with running([*ARENA, "serve", "--dir", str(folder), "--port", str(port)], port) as meter:
            return measure(event, port, count, meter)
    finally:
        event.end()


def main() -> None:
    """Measure."""
    raise_descriptor_limit()
    with tempfile.TemporaryDirectory() as name:
        measure_changes(Path(name) / "event", PHONES)
