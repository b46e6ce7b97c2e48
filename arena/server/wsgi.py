"""Runs the Flask application in threads that wait for no phone.

Bodies are whole before a thread sees them; answers are fetched in chunks, the next when the last was taken.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import IO, Any, TypeVar, cast
from urllib.parse import quote_from_bytes

from a2wsgi.wsgi import build_environ

from arena.web.refusal import Refusal

ASCII = bytes(range(33, 127))  # what a query string may hold as it is
FETCHED = 2**18  # bytes of an answer that are in memory at once
T = TypeVar("T")
WSGIApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class BoundedExecutor:
    """Some threads, and a queue of bounded length before them."""

    def __init__(self, name: str, threads: int, most: int) -> None:
        """
        Args:
            most: requests in the executor at once, running or waiting.
        """
        self._pool = ThreadPoolExecutor(threads, name)
        self._most, self._inside = most, 0

    async def run(self, function: Callable[..., T], *args: object) -> T:
        """Run it in a thread of this executor.

        Raises:
            Refusal: the queue is full.
        """
        if self._inside >= self._most:
            raise Refusal(503, "busy", "Many are asking at once: try again in a moment.", 1)
        self._inside += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, function, *args)
        finally:
            self._inside -= 1

    def close(self) -> None:
        """Let what runs come to its end, for as long as the process lives; start nothing more."""
        self._pool.shutdown(wait=False, cancel_futures=True)


@dataclass
class Answer:
    """What the application answered: the start of it, and the rest on demand."""

    status: int = 500
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    chunk: bytes = b""  # what is to be sent next
    ended: bool = False  # nothing follows it
    _rest: Iterator[bytes] = field(default_factory=lambda: iter(()))
    _close: Callable[[], None] = lambda: None

    def begin(self, app: WSGIApp, environ: dict[str, Any]) -> None:
        """Call the application. In a thread of a executor."""
        written: list[bytes] = []

        def start_response(status: str, headers: list[tuple[str, str]], _error: object = None) -> Callable[..., None]:
            self.status = int(status[:3])
            self.headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]
            return written.append

        iterable = app(environ, start_response)
        self._close = getattr(iterable, "close", lambda: None)
        self._rest = iter(iterable)
        self.fetch(written)

    def fetch(self, before: Iterable[bytes] = ()) -> None:
        """Get the next chunk. In a thread of a executor."""
        parts, size = list(before), 0
        try:
            for part in self._rest:
                parts.append(part)
                size += len(part)
                if size >= FETCHED:
                    break
            else:
                self.ended = True
        except BaseException:
            self.close()
            raise
        self.chunk = b"".join(parts)
        if self.ended:
            self.close()

    def close(self) -> None:
        """Tell the application that nobody fetches the rest."""
        close, self._close = self._close, lambda: None
        close()


def environ_of(scope: Mapping[str, Any], body: IO[bytes], size: int) -> dict[str, Any]:
    """The WSGI environment of an ASGI request whose body is here.

    A header with an underscore in its name is dropped: WSGI could not tell it from the one with a hyphen.
    """
    asked = dict(scope)
    asked["headers"] = [(name, value) for name, value in scope["headers"] if b"_" not in name]
    asked["query_string"] = quote_from_bytes(scope["query_string"], safe=ASCII).encode()
    environ = dict(build_environ(cast(Any, asked), cast(Any, body)))
    environ.pop("HTTP_TRANSFER_ENCODING", None)
    environ["CONTENT_LENGTH"] = str(size)
    environ["wsgi.errors"] = sys.stderr
    return environ


async def send_answer(
    answer: Answer, executor: BoundedExecutor, send: Callable[[dict[str, Any]], Awaitable[None]], patience: float
) -> None:
    """Send it as fast as its reader takes it; no thread waits for that.

    Raises:
        TimeoutError: a chunk was not taken within `patience` seconds.
    """
    await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
    try:
        while True:
            async with asyncio.timeout(patience):
                await send({"type": "http.response.body", "body": answer.chunk, "more_body": not answer.ended})
            if answer.ended:
                return
            await executor.run(answer.fetch)
    finally:
        if not answer.ended:
            await executor.run(answer.close)
