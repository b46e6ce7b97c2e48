"""Request bodies, read to their end before a thread works on them, within limits of size, time and number.

Each class of requests has a lane. There is always room for one more body: the slowest one makes it.
"""

from __future__ import annotations

import asyncio
import heapq
import io
import math
import tempfile
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from arena.phrases import phrase
from arena.web.admission import Admission
from arena.web.limits import MIB, RequestLimits
from arena.web.refusal import Refusal

IN_MEMORY = MIB + 8  # bytes of a body kept in memory; a larger body goes to a file
SMALL_CHUNKS = 200  # chunks of a body that may have any size
CHUNK_BYTES = 64  # that every further chunk must hold on average
DRAIN_SECONDS = 2.0  # that a refused body is still read, so that its sender receives the response
MAX_DRAINING = 64  # refused bodies read at once; more do not come from honest senders
PACE_SECONDS = 2.0  # after which what arrived counts for a third
FRESH_BYTES = 64 * 1024  # that a body which has just begun counts for: so much,
FRESH_SECONDS = 8.0  # or what arrives at the lowest rate in this time, where that is more
EVICTED_SHARE = 64  # of the bodies of a full lane one in so many makes room, at least one
Receive = Callable[[], Awaitable[dict[str, Any]]]


class Arrival:
    """A body that is arriving, and how fast it has arrived lately."""

    def __init__(self, limits: RequestLimits, now: float) -> None:
        self.evicted: str | None = None  # why it must make room
        self.timeout: asyncio.Timeout | None = None  # while it waits for its sender
        self._pace, self._at = max(FRESH_BYTES, FRESH_SECONDS * limits.min_rate), now

    @property
    def rank(self) -> float:
        """The logarithm of the recent pace, to compare bodies: all of them decay alike, so no time is needed."""
        return math.log(self._pace) + self._at / PACE_SECONDS

    def count(self, size: int, now: float) -> None:
        """Count a chunk."""
        self._pace = self._pace * math.exp((self._at - now) / PACE_SECONDS) + max(size, 1)
        self._at = now

    def evict(self, reason: str) -> None:
        """Let the body make room for another one."""
        self.evicted = reason
        if self.timeout is not None and not self.timeout.expired():
            self.timeout.reschedule(0.0)


class Lane:
    """The bodies of one class of requests that are arriving.

    When it is full, those that arrive the slowest make room: a slow sender delays nobody, and many of them nobody else.
    """

    def __init__(self) -> None:
        self._arrivals: dict[Arrival, tuple[str, str]] = {}
        self._by_sender: dict[tuple[str, str], Arrival] = {}

    @contextmanager
    def place(self, admission: Admission, address: str, now: float) -> Iterator[Arrival]:
        """Give a body its place for the time of the block.

        Args:
            admission: of the request.
            address: that it is sent to. A sender who begins again, on a new connection, replaces the body before.
            now: seconds, by the clock of the event loop.
        """
        if len(self._arrivals) >= (most := admission.limits.max_concurrent):
            for slow in heapq.nsmallest(max(1, most // EVICTED_SHARE), self._arrivals, key=lambda one: one.rank):
                self._leave(slow)
                slow.evict(phrase("The server is busy, and this request arrived too slowly: try again in a moment."))
        key = (admission.sender, address)
        if admission.sender and (before := self._by_sender.get(key)) is not None:
            self._leave(before)
            before.evict(phrase("The same request was begun again on another connection."))
        arrival = Arrival(admission.limits, now)
        self._arrivals[arrival] = key
        if admission.sender:
            self._by_sender[key] = arrival
        try:
            yield arrival
        finally:
            self._leave(arrival)

    def _leave(self, arrival: Arrival) -> None:
        key = self._arrivals.pop(arrival, None)
        if key is not None and self._by_sender.get(key) is arrival:
            del self._by_sender[key]


class BodyReader:
    """Reads bodies on the event loop, each in the lane of its class."""

    def __init__(self, folder: Path) -> None:
        """Make a reader.

        Args:
            folder: where large bodies are kept while they arrive.
        """
        self._folder = folder
        self._disk = ThreadPoolExecutor(2, "spool")  # a disk that is slow to write must not stop the loop
        self._lanes: defaultdict[str, Lane] = defaultdict(Lane)
        self._draining = 0

    def close(self) -> None:
        """Stop the threads that write to the disk."""
        self._disk.shutdown(wait=False, cancel_futures=True)

    async def check_size(self, limits: RequestLimits, declared: int | None, receive: Receive) -> bool:
        """Return whether there is a body to read; one that nobody asked for is dropped.

        Args:
            limits: those of this class of requests.
            declared: the Content-Length; None for a body sent in chunks.
            receive: the callable of ASGI that returns the next message.

        Raises:
            Refusal: It is too large.
        """
        if declared == 0:
            return False
        if limits.max_bytes == 0:
            await self.drain(receive)
            return False
        if declared is not None and declared > limits.max_bytes:
            raise _too_large(limits)
        return True

    async def read(self, admission: Admission, address: str, receive: Receive) -> tuple[IO[bytes], int]:
        """Read a body to its end.

        Args:
            admission: of the request.
            address: that it is sent to.
            receive: the callable of ASGI that returns the next message.

        Returns:
            A file at its start, and its length in bytes. The caller closes it.

        Raises:
            Refusal: The body is too large, too slow or not whole, or others arrive faster and there is no more room.
        """
        # The errors are not kept in variables: one that refers to this frame, and is referred to by it, would keep the
        # connection open until the garbage is collected.
        clock = asyncio.get_running_loop().time
        limits, started, size, chunks = admission.limits, clock(), 0, 0
        file: IO[bytes] = io.BytesIO()
        try:
            with self._lanes[limits.name].place(admission, address, started) as arrival:
                while True:
                    message = await _next(receive, arrival, started + limits.deadline(size))
                    if message["type"] == "http.disconnect":  # or only its sender has: it may still read
                        raise Refusal(
                            400, "incomplete", phrase("The request ended before all of it was here: try again.")
                        )
                    chunk = message.get("body", b"")
                    chunks += 1
                    if size + len(chunk) > limits.max_bytes:
                        await self.drain(receive)
                        raise _too_large(limits)
                    if _too_many(chunks, size):
                        raise Refusal(
                            400, "small-chunks", phrase("The request arrived in too many pieces: send larger ones.")
                        )
                    file = await self._write(file, size, chunk)
                    size += len(chunk)
                    arrival.count(len(chunk), clock())
                    if not message.get("more_body", False):
                        break
            file.seek(0)
        except BaseException:
            file.close()
            raise
        return file, size

    async def _write(self, file: IO[bytes], size: int, chunk: bytes) -> IO[bytes]:
        """Append a chunk. A body above IN_MEMORY moves to a file without a name, which no crash leaves behind."""
        if size + len(chunk) <= IN_MEMORY:
            file.write(chunk)
            return file
        run = asyncio.get_running_loop().run_in_executor
        if isinstance(file, io.BytesIO):
            spool: IO[bytes] = await run(self._disk, self._open)
            try:
                await run(self._disk, spool.write, file.getvalue())
            except BaseException:
                spool.close()
                raise
            file = spool
        await run(self._disk, file.write, chunk)
        return file

    def _open(self) -> IO[bytes]:
        return tempfile.TemporaryFile(dir=self._folder)

    async def drain(self, receive: Receive) -> None:
        """Read on for a moment and drop the bytes: a connection that closes too early loses the response."""
        if self._draining >= MAX_DRAINING:
            return
        self._draining += 1
        size = chunks = 0
        try:
            async with asyncio.timeout(DRAIN_SECONDS):
                while (message := await receive()).get("more_body", False):
                    size, chunks = size + len(message.get("body", b"")), chunks + 1
                    if _too_many(chunks, size):
                        return
        except TimeoutError:
            pass
        finally:
            self._draining -= 1


async def _next(receive: Receive, arrival: Arrival, deadline: float) -> dict[str, Any]:
    """Return the next message of a body.

    Args:
        receive: the callable of ASGI that returns it.
        arrival: the body.
        deadline: when it must be here, by the clock of the event loop.

    Raises:
        Refusal: It comes too late, or the body had to make room.
    """
    if arrival.evicted is None:
        try:
            async with asyncio.timeout_at(deadline) as arrival.timeout:
                return await receive()
        except TimeoutError:
            if arrival.evicted is None:
                raise Refusal(408, "too-slow", phrase("The request arrived too slowly: try again.")) from None
        finally:
            arrival.timeout = None
    raise Refusal(503, "busy", arrival.evicted, 3)


def _too_many(chunks: int, size: int) -> bool:
    """Whether so many chunks are too many for so many bytes: each chunk costs a turn of the event loop."""
    return chunks > SMALL_CHUNKS + size // CHUNK_BYTES


def _too_large(limits: RequestLimits) -> Refusal:
    message = phrase("That is too large: at most %(limit)s bytes are accepted here.", limit=limits.max_bytes)
    return Refusal(413, "too-large", message)
