"""Runs the Flask application in threads that never wait for a client.

A body is complete before a thread works on it. A response is fetched in chunks, each after the client took the last.
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

from arena.phrases import phrase
from arena.server.transfers import Transfer
from arena.web.refusal import Refusal

ASCII = bytes(range(33, 127))  # characters of a query string that need no escape
CHUNK_BYTES = 2**18  # of a response, in memory at once
T = TypeVar("T")
WSGIApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class BoundedExecutor:
    """A thread pool with a bounded queue."""

    def __init__(self, name: str, threads: int, max_requests: int) -> None:
        """Start no thread yet.

        Args:
            name: the threads' name.
            threads: at most so many.
            max_requests: how many may be in the executor at once, running or waiting.
        """
        self._pool = ThreadPoolExecutor(threads, name)
        self._max_requests, self._requests = max_requests, 0

    async def run(self, function: Callable[..., T], *args: object) -> T:
        """Run a function in a thread of this executor.

        Raises:
            Refusal: The queue is full.
        """
        if self._requests >= self._max_requests:
            raise Refusal(503, "busy", phrase("The server is busy: try again in a moment."), 1)
        self._requests += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, function, *args)
        finally:
            self._requests -= 1

    def count(self) -> int:
        """Return the number of requests in the executor, running or waiting."""
        return self._requests

    def close(self) -> None:
        """Start nothing more; what runs may finish."""
        self._pool.shutdown(wait=False, cancel_futures=True)


@dataclass
class AppResponse:
    """A response of the application: its start, and the rest on demand."""

    status: int = 500
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    chunk: bytes = b""  # to be sent next
    ended: bool = False  # `chunk` is the last
    _rest: Iterator[bytes] = field(default_factory=lambda: iter(()))
    _close: Callable[[], None] = lambda: None

    def begin(self, app: WSGIApp, environ: dict[str, Any]) -> None:
        """Call the application, in a thread of an executor."""
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
        """Get the next chunk, in a thread of an executor."""
        parts, size = list(before), 0
        try:
            for part in self._rest:
                parts.append(part)
                size += len(part)
                if size >= CHUNK_BYTES:
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
        """Tell the application that the rest will not be fetched."""
        close, self._close = self._close, lambda: None
        close()


def build_wsgi_environ(scope: Mapping[str, Any], body: IO[bytes], size: int) -> dict[str, Any]:
    """Build the WSGI environment of an ASGI request.

    A header with an underscore in its name is dropped: WSGI cannot tell it from the one with a hyphen.

    Args:
        scope: the scope of ASGI.
        body: a file at its start.
        size: the body's length in bytes.

    Returns:
        The environment.
    """
    checked = {**scope, "root_path": ""}  # the path is already without it
    checked["headers"] = [(name, value) for name, value in scope["headers"] if b"_" not in name]
    checked["query_string"] = quote_from_bytes(scope["query_string"], safe=ASCII).encode()
    environ = dict(build_environ(cast(Any, checked), cast(Any, body)))
    environ.pop("HTTP_TRANSFER_ENCODING", None)
    environ["CONTENT_LENGTH"] = str(size)
    environ["SCRIPT_NAME"] = scope.get("root_path", "")
    environ["wsgi.errors"] = sys.stderr
    return environ


async def send_response(
    response: AppResponse,
    executor: BoundedExecutor,
    send: Callable[[dict[str, Any]], Awaitable[None]],
    patience: float,
    transfer: Transfer,
) -> None:
    """Send a response as fast as the client takes it; no thread waits for the client.

    Args:
        response: a response that has begun.
        executor: where the rest is fetched.
        send: the callable of ASGI that sends a message.
        patience: seconds that the client may take for one chunk.
        transfer: counts what was sent, and may be told to make room.

    Raises:
        TimeoutError: The client took longer, or had to make room for another one.
    """
    await send({"type": "http.response.start", "status": response.status, "headers": response.headers})
    try:
        while True:
            async with transfer.within(patience):
                await send({"type": "http.response.body", "body": response.chunk, "more_body": not response.ended})
            transfer.sent += len(response.chunk)
            if response.ended:
                return
            await executor.run(response.fetch)
    finally:
        if not response.ended:
            await executor.run(response.close)
