"""Request bodies, read to their end before a thread works on them, within limits of size, time and number."""

from __future__ import annotations

import asyncio
import io
import tempfile
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any

from arena.web.limits import MIB, REQUEST_LIMITS, RequestLimits
from arena.web.refusal import Refusal

IN_MEMORY = MIB + 8  # bytes of a body kept in memory; a larger body goes to a file
PATIENCE = 10.0  # seconds that every body may take, however small
DRAIN_SECONDS = 2.0  # that a refused body is still read, so that its sender receives the response
MAX_DRAINING = 64  # refused bodies read at once; more do not come from honest senders
Receive = Callable[[], Awaitable[dict[str, Any]]]


class Disconnected(Exception):
    """The client closed the connection."""


class BodyReader:
    """Reads bodies on the event loop, and counts those that are still arriving."""

    def __init__(self, folder: Path, patience: float = PATIENCE) -> None:
        """Make a reader.

        Args:
            folder: where large bodies are kept while they arrive.
            patience: seconds that every body may take.
        """
        self._folder, self._patience = folder, patience
        self._disk = ThreadPoolExecutor(2, "spool")  # a disk that is slow to write must not stop the loop
        self._reading: dict[str, int] = {limits.name: 0 for limits in REQUEST_LIMITS}
        self._draining = 0

    def close(self) -> None:
        """Stop the threads that write to the disk."""
        self._disk.shutdown(wait=False, cancel_futures=True)

    async def read(self, limits: RequestLimits, declared: int | None, receive: Receive) -> tuple[IO[bytes], int]:
        """Read a body to its end.

        Args:
            limits: those of this class of requests.
            declared: the Content-Length; None for a body sent in chunks.
            receive: the callable of ASGI that returns the next message.

        Returns:
            A file at its start, and its length in bytes. The caller closes it.

        Raises:
            Refusal: The body is too large or too slow, or too many bodies arrive at once.
            Disconnected: The client closed the connection.
        """
        if declared == 0:
            return io.BytesIO(), 0
        # The errors are not kept in variables: one that refers to this frame, and is referred to by it, would keep the
        # connection open until the garbage is collected.
        if declared is not None and declared > limits.max_bytes:
            await self._drain(receive)
            raise _too_large(limits)
        if self._reading[limits.name] >= limits.max_concurrent:
            await self._drain(receive)
            raise Refusal(503, "busy", "The server is busy: try again in a moment.", 3)
        self._reading[limits.name] += 1
        try:
            return await self._read(limits, receive)
        finally:
            self._reading[limits.name] -= 1

    async def _read(self, limits: RequestLimits, receive: Receive) -> tuple[IO[bytes], int]:
        started, size = asyncio.get_running_loop().time(), 0
        file: IO[bytes] = io.BytesIO()
        try:
            while True:
                try:
                    async with asyncio.timeout_at(started + self._patience + size / limits.min_rate):
                        message = await receive()
                except TimeoutError:
                    raise Refusal(408, "too-slow", "The request arrived too slowly: try again.") from None
                if message["type"] == "http.disconnect":
                    raise Disconnected
                chunk = message.get("body", b"")
                if size + len(chunk) > limits.max_bytes:
                    await self._drain(receive)
                    raise _too_large(limits)
                file = await self._write(file, size, chunk)
                size += len(chunk)
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

    async def _drain(self, receive: Receive) -> None:
        """Read on for a moment and drop the bytes: a connection that closes too early loses the response."""
        if self._draining >= MAX_DRAINING:
            return
        self._draining += 1
        try:
            async with asyncio.timeout(DRAIN_SECONDS):
                while (message := await receive()).get("more_body", False):
                    pass
                if message["type"] == "http.disconnect":
                    raise Disconnected
        except TimeoutError:
            pass
        finally:
            self._draining -= 1


def _too_large(limits: RequestLimits) -> Refusal:
    return Refusal(413, "too-large", f"That is too large: at most {limits.max_bytes:,} bytes are accepted here.")
