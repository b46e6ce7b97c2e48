"""Request bodies, read whole before anybody works on them: within a size, a time, and a number at once."""

from __future__ import annotations

import asyncio
import io
import re
import tempfile
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

KIB, MIB = 2**10, 2**20
IN_MEMORY = MIB + 8  # bytes of a body kept in memory; what is larger goes to a file
PATIENCE = 10.0  # seconds that any body may take, however small
LINGER = 2.0  # seconds that a refused body is still read, so that its sender gets to see the answer
LINGERING = 64  # refused bodies read so at once; when there are more, they do not come from honest senders
Receive = Callable[[], Awaitable[dict[str, Any]]]


class Refused(Exception):
    """A request that the gateway answers itself.

    Attributes:
        status: HTTP.
        code: a short name of the rule.
        retry_after: seconds, for 503.
    """

    def __init__(self, status: int, code: str, message: str, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.retry_after = status, code, retry_after


class Disconnected(Exception):
    """Whoever asked has left."""


@dataclass(frozen=True)
class Kind:
    """What one kind of request may send, and who works on it."""

    name: str
    method: str
    path: re.Pattern[str]
    limit: int  # bytes
    rate: int  # bytes a second that must arrive on average, after PATIENCE
    at_once: int  # bodies being read
    lane: str  # see `gateway.LANES`


# The first that fits counts. 64 bodies of 1 MiB are the memory that uploads may take; a claim is at most 1 MiB of
# header with its length before it. A piece at its slowest takes 2 minutes, a form 53.
KINDS = (
    Kind("vote", "POST", re.compile(r"/vote"), 64 * KIB, KIB, 4_000, "votes"),
    Kind("claim", "POST", re.compile(r"/api/entries"), MIB + 8, 8 * KIB, 32, "uploads"),
    Kind("piece", "PATCH", re.compile(r"/api/entries/[^/]*"), MIB, 8 * KIB, 32, "uploads"),
    Kind("form", "POST", re.compile(r"/enter"), 193 * MIB, 64 * KIB, 8, "forms"),
    Kind("page", "", re.compile(r"(?s).*"), 64 * KIB, KIB, 1_000, "pages"),
)


def kind_of(method: str, path: str) -> Kind:
    """The first kind that this request is."""
    return next(kind for kind in KINDS if kind.method in ("", method) and kind.path.fullmatch(path))


class BodyReader:
    """Reads bodies on the event loop, and counts those that are on their way."""

    def __init__(self, folder: Path, patience: float = PATIENCE) -> None:
        """
        Args:
            folder: where large bodies lie while they arrive.
            patience: seconds that any body may take.
        """
        self._folder, self._patience = folder, patience
        self._disk = ThreadPoolExecutor(2, "spool")  # a disk that is slow to write must not stop the loop
        self._reading: dict[str, int] = {kind.name: 0 for kind in KINDS}
        self._lingering = 0

    def close(self) -> None:
        self._disk.shutdown(wait=False, cancel_futures=True)

    async def read(self, kind: Kind, declared: int | None, receive: Receive) -> tuple[IO[bytes], int]:
        """Read a body to its end.

        Args:
            declared: its Content-Length; None for a body sent in chunks.

        Returns:
            A file at its start, and its length in bytes. The caller closes it.

        Raises:
            Refused: too large, too slow, or too many at once.
            Disconnected
        """
        if declared == 0:
            return io.BytesIO(), 0
        # The errors are not kept in variables: one that refers to this frame, and is referred to by it, would keep the
        # connection open until the garbage is collected.
        if declared is not None and declared > kind.limit:
            await self._linger(receive)
            raise _too_large(kind)
        if self._reading[kind.name] >= kind.at_once:
            await self._linger(receive)
            raise Refused(503, "busy", "The server is taking as much as it can: try again in a moment.", 3)
        self._reading[kind.name] += 1
        try:
            return await self._read(kind, receive)
        finally:
            self._reading[kind.name] -= 1

    async def _read(self, kind: Kind, receive: Receive) -> tuple[IO[bytes], int]:
        started, size = asyncio.get_running_loop().time(), 0
        file: IO[bytes] = io.BytesIO()
        try:
            while True:
                try:
                    async with asyncio.timeout_at(started + self._patience + size / kind.rate):
                        message = await receive()
                except TimeoutError:
                    raise Refused(408, "too-slow", "The request arrived too slowly: try again.") from None
                if message["type"] == "http.disconnect":
                    raise Disconnected
                chunk = message.get("body", b"")
                if size + len(chunk) > kind.limit:
                    await self._linger(receive)
                    raise _too_large(kind)
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
        """Append; from IN_MEMORY on, to a file that has no name, so that no crash leaves it behind."""
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

    async def _linger(self, receive: Receive) -> None:
        """Read on for a moment and drop it: a connection closed while its peer sends loses the answer on the way."""
        if self._lingering >= LINGERING:
            return
        self._lingering += 1
        try:
            async with asyncio.timeout(LINGER):
                while (message := await receive()).get("more_body", False):
                    pass
                if message["type"] == "http.disconnect":
                    raise Disconnected
        except TimeoutError:
            pass
        finally:
            self._lingering -= 1


def _too_large(kind: Kind) -> Refused:
    return Refused(413, "too-large", f"That is too large: at most {kind.limit:,} bytes are taken here.")
