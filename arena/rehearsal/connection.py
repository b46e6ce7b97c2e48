"""One kept-alive HTTP/1.1 connection on the event loop.

A phone holds one for the evening, and ten thousand of them must fit into one process beside the server. The connection
can be cut in the middle of a request, which no library for honest clients offers.
"""

from __future__ import annotations

import asyncio
import gzip
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from trainer.verse.event_path import event_path

TIMEOUT = 20.0  # seconds for a connection, and for an answer
MAX_ANSWER = 64 * 2**20  # bytes


class ConnectionLost(Exception):
    """There was no answer: the connection failed, or it took too long."""


@dataclass(frozen=True)
class Address:
    """Where a server listens."""

    host: str
    port: int
    tls: bool = False
    path: str = ""  # of the event, where several share a server

    @classmethod
    def parse(cls, url: str) -> Address:
        """Read http://HOST:PORT or https://HOST, or one of them with the path of an event.

        Raises:
            ValueError: It is no such address.
        """
        parts = urlsplit(url)
        path = event_path(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.rstrip("/") != path or parts.query:
            raise ValueError(f"{url!r} is no address like http://192.168.1.5:8000")
        tls = parts.scheme == "https"
        return cls(parts.hostname, parts.port or (443 if tls else 80), tls, path)

    @property
    def netloc(self) -> str:
        """The value of the header Host."""
        return f"{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"


@dataclass(frozen=True)
class Answer:
    """One HTTP response."""

    status: int
    headers: Mapping[str, str]  # by lower-case name
    body: bytes

    @property
    def content(self) -> bytes:
        """The body, decompressed."""
        return gzip.decompress(self.body) if self.headers.get("content-encoding") == "gzip" else self.body

    @property
    def text(self) -> str:
        """The body as text."""
        return self.content.decode("utf-8", "replace")


class _Protocol(asyncio.Protocol):
    """Collects one answer at a time."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.closed = False
        self.waiting: asyncio.Future[Answer] | None = None
        self._data = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        self._fail("the connection was closed")

    def data_received(self, data: bytes) -> None:
        self._data += data
        try:
            answer = self._parse()
        except ValueError as error:
            self._fail(f"the answer cannot be read: {error}")
            self.closed = True
            return
        if answer is not None and self.waiting is not None and not self.waiting.done():
            self.waiting.set_result(answer)
            if answer.headers.get("connection", "").lower() == "close":
                self.closed = True

    def _fail(self, reason: str) -> None:
        if self.waiting is not None and not self.waiting.done():
            self.waiting.set_exception(ConnectionLost(reason))

    def _parse(self) -> Answer | None:
        end = self._data.find(b"\r\n\r\n")
        if end < 0:
            return None
        first, *lines = self._data[:end].decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        status = int(first.split(" ")[1])
        if status in (204, 304):
            size = 0
        elif "content-length" in headers:
            size = int(headers["content-length"])
        else:
            raise ValueError("it has no Content-Length")
        if size > MAX_ANSWER:
            raise ValueError(f"it has {size:,} bytes")
        start = end + 4
        if len(self._data) < start + size:
            return None
        body = bytes(self._data[start : start + size])
        del self._data[: start + size]
        return Answer(status, headers, body)


class Connection:
    """A connection that is opened when it is needed, and again when it was lost."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self._protocol: _Protocol | None = None

    async def request(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, body: bytes = b""
    ) -> Answer:
        """Send a request, and return the answer.

        Args:
            method: the HTTP method.
            path: with the query.
            headers: further ones.
            body: the whole of it.

        Raises:
            ConnectionLost: There was no answer. The server may have done what was asked, or not.
        """
        protocol = await self._open()
        protocol.waiting = asyncio.get_running_loop().create_future()
        assert protocol.transport is not None
        protocol.transport.write(self._head(method, path, headers, len(body)) + body)
        try:
            async with asyncio.timeout(TIMEOUT):
                return await protocol.waiting
        except TimeoutError:
            self.cut()
            raise ConnectionLost(f"no answer within {TIMEOUT:g} s") from None
        finally:
            protocol.waiting = None
            if protocol.closed:
                self.cut()

    async def begin(
        self, method: str, path: str, headers: Mapping[str, str] | None, body: bytes, size: int | None = None
    ) -> None:
        """Send a request, or its beginning, and do not wait for an answer.

        Args:
            method: the HTTP method.
            path: with the query.
            headers: further ones.
            body: the bytes that are sent.
            size: of the body by its header; None: that of `body`.

        Raises:
            ConnectionLost: There is no connection.
        """
        protocol = await self._open()
        assert protocol.transport is not None
        protocol.transport.write(self._head(method, path, headers, len(body) if size is None else size) + body)

    def send(self, data: bytes) -> bool:
        """Send further bytes; return whether the connection is still there."""
        if self._protocol is None or self._protocol.closed or self._protocol.transport is None:
            return False
        self._protocol.transport.write(data)
        return True

    def cut(self) -> None:
        """Lose the connection at once."""
        if self._protocol is not None and self._protocol.transport is not None:
            self._protocol.transport.abort()
        self._protocol = None

    async def _open(self) -> _Protocol:
        if self._protocol is not None and not self._protocol.closed:
            return self._protocol
        self.cut()
        loop = asyncio.get_running_loop()
        context = ssl.create_default_context() if self.address.tls else None
        try:
            async with asyncio.timeout(TIMEOUT):
                _, self._protocol = await loop.create_connection(
                    _Protocol, self.address.host, self.address.port, ssl=context
                )
        except (OSError, TimeoutError) as error:
            raise ConnectionLost(f"no connection: {getattr(error, 'strerror', None) or error!r}") from None
        return self._protocol

    def _head(self, method: str, path: str, headers: Mapping[str, str] | None, size: int) -> bytes:
        lines = [
            f"{method} {self.address.path}{path} HTTP/1.1",
            f"Host: {self.address.netloc}",
            "Accept-Encoding: gzip",
        ]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        if size or method != "GET":
            lines.append(f"Content-Length: {size}")
        return "\r\n".join([*lines, "", ""]).encode("latin-1")
