"""Responses that are being sent, and how many of a class at once.

Bundles and packages are large, and a room has one Wi-Fi. When a class is full, its slowest response makes room if its
client hardly reads; otherwise one more client is asked to come back.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

from arena.phrases import phrase
from arena.web.limits import KIB, RequestLimits
from arena.web.refusal import Refusal

GRACE_SECONDS = 10.0  # that every response may take, however slowly its client reads
FAIR_RATE = 64 * KIB  # bytes a second; who reads more slowly makes room when a class is full
RETRY_SECONDS = 10  # after which a client may ask again


class Transfer:
    """One response that is being sent."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.sent = 0  # bytes
        self._clock, self._started = clock, clock()
        self._timeout: asyncio.Timeout | None = None  # while it waits for its client
        self._evicted = False

    @property
    def seconds(self) -> float:
        """Since it began."""
        return self._clock() - self._started

    @property
    def rate(self) -> float:
        """Bytes a second since it began."""
        return self.sent / max(self.seconds, 1e-3)

    @asynccontextmanager
    async def within(self, seconds: float) -> AsyncIterator[None]:
        """Limit the time of the block.

        Raises:
            TimeoutError: It took longer, or the response had to make room.
        """
        try:
            async with asyncio.timeout(0.0 if self._evicted else seconds) as self._timeout:
                yield
        finally:
            self._timeout = None

    def evict(self) -> None:
        """End the response: another one takes its place."""
        self._evicted = True
        if self._timeout is not None and not self._timeout.expired():
            self._timeout.reschedule(0.0)


class Transfers:
    """The responses that are being sent, by class."""

    def __init__(self) -> None:
        self._sending: defaultdict[str, set[Transfer]] = defaultdict(set)

    @contextmanager
    def place(self, limits: RequestLimits, clock: Callable[[], float]) -> Iterator[Transfer]:
        """Give a response its place for the time of the block.

        Args:
            limits: of its class.
            clock: seconds, of the event loop.

        Raises:
            Refusal: All places are taken by clients that read fast enough.
        """
        sending = self._sending[limits.name]
        if limits.max_responses and len(sending) >= limits.max_responses:
            slow = [one for one in sending if one.seconds >= GRACE_SECONDS and one.rate < FAIR_RATE]
            if not slow:
                raise Refusal(
                    503,
                    "full",
                    phrase(
                        "The server is sending files to as many people as it can: try again in %(seconds)s seconds.",
                        seconds=RETRY_SECONDS,
                    ),
                    RETRY_SECONDS,
                )
            slowest = min(slow, key=lambda one: one.rate)
            sending.discard(slowest)
            slowest.evict()
        transfer = Transfer(clock)
        sending.add(transfer)
        try:
            yield transfer
        finally:
            sending.discard(transfer)
