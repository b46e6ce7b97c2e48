"""Server-sent events: tells every open page of a change as soon as the snapshot shows it.

A change of the event (a match opens, a vote is counted) is sent at once, with the part of the page that it changes, so
that no phone has to ask for it. Numbers that grow, such as votes, are sent at a bounded rate. Nothing waits in memory
for a slow reader: each connection is given the latest state when it has taken the one before, or is ended.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from arena.phrases import phrase
from arena.server.snapshot import EncodedSnapshot
from arena.web.pushed import Listener, PushedPage
from arena.web.refusal import Refusal

BATCH = 100  # connections that are woken before other requests get their turn
COUNTS_RATE = 10_000  # messages a second for numbers that grow, all connections together
SHORTEST = 0.2  # seconds between two of them for one connection
POLL_EVERY = 4.0  # seconds between two polls of a phone that does not listen, about
BEAT_SECONDS = 15.0  # after which a connection hears something in any case: networks forget silent ones
PATIENCE = 10.0  # seconds that a reader may take for one message
STREAM_BYTES = 131_072  # of one connection; what is not read waits in the system's memory, and is no more than this
PER_VOTER = 6  # connections of one cookie: as many as a browser opens to one server
WITHOUT_COOKIE = 64  # connections of all who send no cookie, as stages do; and as many of the console
CONSOLE = "console"  # counts its connections, so that strangers do not take its places
NO_PHONES = frozenset(("", CONSOLE))
HEADERS = [
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),  # asks a proxy not to collect events
    (b"x-content-type-options", b"nosniff"),
]
BEAT, END = b"event: beat\ndata: 1\n\n", b"event: end\ndata: 1\n\n"
Message = Mapping[str, Any]
log = logging.getLogger(__name__)


class PageSource(Protocol):
    """Where the parts of pages come from that a change is sent with."""

    def key(self, state: EncodedSnapshot) -> str:
        """Return what differs when the pages do."""

    def render(self, state: EncodedSnapshot) -> PushedPage | None:
        """Return the page after a change, in the thread that builds snapshots; None if each phone asks for its own."""

    def listener(self, headers: Mapping[str, str]) -> Listener:
        """Return who sends these headers, by their lower-case names."""


@dataclass(frozen=True)
class Update:
    """What a connection is told."""

    number: int  # grows with each
    page_number: int  # of the latest update with a page
    state: bytes  # the event `state`, complete
    page: PushedPage | None  # of that update


@dataclass(eq=False)
class Stream:
    """One connection."""

    listener: Listener
    name: str  # under which it is counted
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    is_gone: bool = False  # the client has left


class Streams:
    """The connections of everybody who listens for changes."""

    def __init__(self, pages: PageSource, limit: int, clock: Callable[[], float] = time.monotonic) -> None:
        """Make streams that nobody listens to yet.

        Args:
            pages: the parts of pages that are sent.
            limit: connections at once; who comes later is refused, and asks again and again instead.
            clock: seconds.
        """
        self._pages, self._limit, self._clock = pages, limit, clock
        self._streams: dict[Stream, None] = {}  # in the order of arrival
        self._per_voter: dict[str, int] = {}
        self._latest = Update(0, 0, b"", None)
        self._key: str | None = None  # this and the next two belong to the thread that publishes
        self._page: PushedPage | None = None
        self._page_number = 0
        self._numbers = itertools.count(1)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self._told = 0  # number of the update that the last round began with
        self._polls = (clock(), 0, 0)  # when the present interval began, polls in the last one and in this one
        self._ended = False

    def __len__(self) -> int:
        """Return how many listen."""
        return len(self._streams)

    @property
    def phones(self) -> int:
        """How many phones follow the event: those that listen with a voter's cookie, and about as many as ask."""
        self._count_poll(0)
        return len(self._per_voter.keys() - NO_PHONES) + self._polls[1]

    def note_poll(self) -> None:
        """Count a request for the state, of somebody who does not listen."""
        self._count_poll(1)

    def _count_poll(self, count: int) -> None:
        begun, before, now = self._polls[0], self._polls[2], self._clock()
        if now - begun >= POLL_EVERY:
            self._polls = (now, before if now - begun < 2 * POLL_EVERY else 0, count)
        elif count:
            self._polls = (begun, self._polls[1], before + count)

    def start(self) -> None:
        """Begin to tell; called in the event loop."""
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.create_task(self._run())

    def stop(self) -> None:
        """End every connection."""
        self._ended = True
        if self._task is not None:
            self._task.cancel()
        for stream in self._streams:
            stream.is_gone = True
            stream.wake.set()

    def request_stop(self) -> None:
        """End every connection; called by any thread."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self.stop)

    def publish(self, snapshot: EncodedSnapshot) -> None:
        """Take a new snapshot; called by the thread that builds them."""
        key = self._pages.key(snapshot)
        number = next(self._numbers)
        if key != self._key:
            self._key, self._page, self._page_number = key, None, number
            try:
                self._page = self._pages.render(snapshot)
            except Exception:  # phones then ask for the page
                log.exception("the page of the new state could not be made")
        update = Update(number, self._page_number, event("state", snapshot.body), self._page)
        if self._loop is None or self._loop.is_closed():
            self._latest = update
        else:
            self._loop.call_soon_threadsafe(self._take, update)

    def _take(self, update: Update) -> None:
        self._latest = update
        self._changed.set()

    async def _run(self) -> None:
        """Tell everybody: of a change at once, of numbers at a bounded rate, and of nothing now and then."""
        page_told, told_at = 0, self._clock()
        while True:
            pause = BEAT_SECONDS
            if self._latest.number != self._told:
                pause = max(SHORTEST, len(self._streams) / COUNTS_RATE)
            wait = told_at + pause - self._clock()
            if self._latest.page_number == page_told and wait > 0:
                self._changed.clear()
                try:
                    async with asyncio.timeout(wait):
                        await self._changed.wait()
                except TimeoutError:
                    pass
                continue
            page_told, self._told, told_at = self._latest.page_number, self._latest.number, self._clock()
            await self._tell_all()

    async def _tell_all(self) -> None:
        number = self._latest.number
        order = sorted(self._streams, key=lambda stream: stream.listener.voter is not None)  # the stage is told first
        for count, stream in enumerate(order, 1):
            stream.wake.set()
            if count % BATCH == 0:
                await asyncio.sleep(0)
                if self._latest.page_number > number:
                    return  # the next round tells everybody of the newer change

    # One connection

    async def serve(
        self,
        scope: Mapping[str, Any],
        receive: Callable[[], Awaitable[dict[str, Any]]],
        send: Callable[[dict[str, Any]], Awaitable[None]],
        *,
        console: bool = False,
    ) -> None:
        """Serve one connection until its client leaves, does not read, or has been sent enough.

        Args:
            scope: of ASGI.
            receive: of ASGI.
            send: of ASGI.
            console: it came by the console's port, and is no phone, whatever cookies it sends.

        Raises:
            Refusal: Too many listen.
        """
        stream = self._admit(scope, console)
        watching = asyncio.ensure_future(_watch(receive, stream))
        try:
            await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
            await self._follow(stream, send)
        except TimeoutError:
            log.info("a client stopped reading events")
        finally:
            watching.cancel()
            self._forget(stream)

    async def _follow(self, stream: Stream, send: Callable[[dict[str, Any]], Awaitable[None]]) -> None:
        """Send the state, and after that every change."""
        told, page_told, sent = self._latest.number, self._latest.page_number, 0
        data = self._latest.state or BEAT

        async def say(part: bytes, more: bool = True) -> None:
            async with asyncio.timeout(PATIENCE):
                await send({"type": "http.response.body", "body": part, "more_body": more})

        while True:
            await say(data)
            sent += len(data)
            if sent >= STREAM_BYTES:
                return await say(END, more=False)
            await stream.wake.wait()
            stream.wake.clear()
            if stream.is_gone:
                return await say(b"", more=False)
            latest = self._latest
            if latest.page_number != page_told and latest.page is not None and stream.listener.voter is not None:
                data = latest.page.for_listener(stream.listener) + latest.state
            else:
                data = latest.state if latest.number != told else BEAT
            told, page_told = latest.number, latest.page_number

    def _admit(self, scope: Mapping[str, Any], console: bool) -> Stream:
        """Give a connection its place, by its head alone.

        Args:
            scope: of ASGI.
            console: it came by the console's port.

        Raises:
            Refusal: There is none.
        """
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in reversed(scope["headers"])}
        listener = self._pages.listener(headers)
        name = CONSOLE if console else listener.name
        mine, allowed = self._per_voter.get(name, 0), WITHOUT_COOKIE if name in NO_PHONES else PER_VOTER
        if self._ended or len(self._streams) >= self._limit or mine >= allowed:
            raise Refusal(
                503, "too-many-streams", phrase("Too many listen for changes: ask for the state instead."), 30
            )
        stream = Stream(listener, name)
        self._streams[stream] = None
        self._per_voter[name] = mine + 1
        return stream

    def _forget(self, stream: Stream) -> None:
        self._streams.pop(stream, None)
        self._per_voter[stream.name] -= 1
        if not self._per_voter[stream.name]:
            del self._per_voter[stream.name]


async def _watch(receive: Callable[[], Awaitable[dict[str, Any]]], stream: Stream) -> None:
    """Notice that the client has left."""
    while (await receive())["type"] != "http.disconnect":
        pass
    stream.is_gone = True
    stream.wake.set()


def event(name: str, data: bytes) -> bytes:
    """Return an event whose data have one line."""
    return b"event: " + name.encode() + b"\ndata: " + data + b"\n\n"
