"""A load generator over loopback: raw sockets on one selector, no threads. It stops by itself."""

from __future__ import annotations

import contextlib
import heapq
import selectors
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

GIVE_UP = 30.0  # seconds after the last request that was to be sent


@dataclass
class Outcome:
    """What came back."""

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)  # seconds, of every answer
    statuses: Counter[int] = field(default_factory=Counter)
    unanswered: int = 0

    @property
    def rate(self) -> float:
        """Answers a second."""
        return len(self.latencies) / self.seconds

    def percentile(self, percent: float) -> float:
        """Seconds within which so many of the answers came."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))] if ordered else float("nan")


class Line:
    """One connection, with at most one request under way."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.connect()
        self.sent = 0.0  # seconds; when the request under way was sent
        self.busy = False
        self.data = b""

    def connect(self) -> None:
        """Connect, perhaps again: a server closes a connection that is silent for long, and browsers know that."""
        self.is_open = True
        self.socket = socket.create_connection(("127.0.0.1", self.port), timeout=30)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)

    def send(self, request: bytes) -> None:
        """Send it whole: requests here are smaller than a socket's buffer."""
        self.sent, self.busy = time.perf_counter(), True
        if self.socket.send(request) != len(request):
            raise RuntimeError("a request did not fit into the socket's buffer")

    def receive(self) -> tuple[int, bytes] | None:
        """The answer, when it is whole: its status, and all of it."""
        chunk = self.socket.recv(262_144)
        if not chunk:
            self.is_open = False
            if not self.busy:
                return None
            raise ConnectionError("closed before its answer was whole")
        self.data += chunk
        head = self.data.find(b"\r\n\r\n")
        if head < 0:
            return None
        status = int(self.data[9:12])
        length, start = 0, self.data.lower().find(b"content-length:", 0, head)
        if start >= 0 and status != 304:
            length = int(self.data[start + 15 : self.data.find(b"\r", start)])
        if len(self.data) < head + 4 + length:
            return None
        data, self.data, self.busy = self.data, b"", False
        return status, data


def lines(port: int, count: int) -> list[Line]:
    """Connect so many times."""
    return [Line(port) for _ in range(count)]


def hang_up(open_lines: Iterable[Line]) -> None:
    """Close them all."""
    for line in open_lines:
        line.socket.close()


def as_fast_as_it_goes(
    open_lines: list[Line],
    request: Callable[[], bytes | None],
    seconds: float,
    seen: Callable[[bytes], None] | None = None,
) -> Outcome:
    """Every connection asks again when it is answered.

    Args:
        request: the next one; None when there are no more.
        seen: is given every answer.
    """
    outcome, now = Outcome(), time.perf_counter
    with contextlib.closing(selectors.DefaultSelector()) as selector:
        waiting = 0
        for line in open_lines:
            selector.register(line.socket, selectors.EVENT_READ, line)
        start = now()
        end = start + seconds
        for line in open_lines:
            if (first := request()) is not None:
                line.send(first)
                waiting += 1
        while waiting and now() < end + GIVE_UP:
            for key, _ in selector.select(1.0):
                line = key.data
                answer = line.receive()
                if answer is None:
                    continue
                moment = now()
                outcome.latencies.append(moment - line.sent)
                outcome.statuses[answer[0]] += 1
                if seen is not None:
                    seen(answer[1])
                following = request() if moment < end else None
                if following is None:
                    waiting -= 1
                else:
                    line.send(following)
        outcome.seconds = now() - start
        outcome.unanswered = waiting
    return outcome


@dataclass(order=True)
class Planned:
    """A request that is due at a time, whatever became of those before."""

    at: float  # seconds from the start
    number: int  # makes the order one
    line: Line = field(compare=False)
    request: bytes = field(compare=False)
    kind: str = field(compare=False)


def by_the_clock(plan: list[Planned]) -> dict[str, Outcome]:
    """Send what is due when it is due. Latency counts from when it was due, so a stalled server cannot hide.

    A request whose connection is still busy waits for it, and that counts too.
    """
    outcomes: dict[str, Outcome] = {one.kind: Outcome() for one in plan}
    heapq.heapify(plan)
    start = time.perf_counter()
    queued: dict[Line, list[Planned]] = {}
    under_way: dict[Line, Planned] = {}
    end = max(one.at for one in plan) + GIVE_UP
    with contextlib.closing(selectors.DefaultSelector()) as selector:

        def send(planned: Planned) -> None:
            line = planned.line
            if not line.is_open:
                line.connect()
                selector.register(line.socket, selectors.EVENT_READ, line)
            line.send(planned.request)
            under_way[line] = planned

        for line in {planned.line for planned in plan}:
            selector.register(line.socket, selectors.EVENT_READ, line)
        while (plan or under_way) and time.perf_counter() - start < end:
            now = time.perf_counter() - start
            while plan and plan[0].at <= now:
                planned = heapq.heappop(plan)
                if planned.line.busy:
                    queued.setdefault(planned.line, []).append(planned)
                else:
                    send(planned)
            pause = max(0.0, min(plan[0].at - now, 0.5)) if plan else 0.5
            for key, _ in selector.select(pause):
                answer = key.data.receive()
                if answer is None:
                    if not key.data.is_open:
                        selector.unregister(key.fileobj)
                        key.data.socket.close()
                    continue
                planned = under_way.pop(key.data)
                outcomes[planned.kind].latencies.append(time.perf_counter() - start - planned.at)
                outcomes[planned.kind].statuses[answer[0]] += 1
                if following := queued.get(key.data):
                    send(following.pop(0))
        for outcome in outcomes.values():
            outcome.seconds = time.perf_counter() - start
        for planned in (*under_way.values(), *plan, *(late for more in queued.values() for late in more)):
            outcomes[planned.kind].unanswered += 1
    return outcomes
