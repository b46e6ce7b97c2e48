"""A thin ASGI layer in front of Flask: it answers polls from memory and keeps slow clients away from threads.

A poll (`web.routes.STATE`) costs a comparison of two strings. Any other request is read to its end, within limits of
size and time (`request_body`); then a bounded executor calls Flask (`wsgi`), and the response is sent as fast as the
client takes it.
"""

from __future__ import annotations

import asyncio
import html
import logging
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from arena.server.request_body import PATIENCE, BodyReader, Disconnected, Receive
from arena.server.snapshot import SnapshotKeeper
from arena.server.wsgi import AppResponse, BoundedExecutor, WSGIApp, build_wsgi_environ, send_response
from arena.services.schemas import to_json
from arena.web.limits import request_limits
from arena.web.refusal import Refusal
from arena.web.routes import STATE
from arena.web.schemas import ErrorResponse

Send = Callable[[dict[str, Any]], Awaitable[None]]
CHUNK_PATIENCE = 60.0  # seconds that a client may take for one chunk of a response
COMMON_HEADERS = [(b"cache-control", b"no-cache"), (b"x-content-type-options", b"nosniff")]
log = logging.getLogger(__name__)

# Threads, and requests at once, running or waiting. Votes have their own threads, so that no page or upload delays
# them; many, because votes that wait together share a transaction. At 800 votes a second the last of 4,000 waits 5 s.
EXECUTORS = {"votes": (32, 4_000), "pages": (6, 2_000), "uploads": (2, 64), "forms": (1, 8)}


class Gateway:
    """The ASGI application that the server runs."""

    def __init__(self, app: WSGIApp, keeper: SnapshotKeeper, spool: Path, patience: float = PATIENCE) -> None:
        """Make a gateway; the server starts it.

        Args:
            app: the Flask application.
            keeper: the keeper of snapshots; it is started and stopped with the server.
            spool: an existing folder for large bodies that are arriving.
            patience: seconds that every body may take, however small.
        """
        self._app, self._keeper, self._spool, self._patience = app, keeper, spool, patience
        self._executors: dict[str, BoundedExecutor] = {}
        self._bodies: BodyReader | None = None
        self._state_messages: tuple[object, dict[str, Any], dict[str, Any], dict[str, Any]] | None = None

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Answer one connection, as ASGI defines it."""
        if scope["type"] == "http":
            if scope["path"] == STATE.path and scope["method"] == STATE.method:
                await self._state(scope, send)
            else:
                await self._request(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        else:
            await send({"type": "websocket.close", "code": 1000})

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        self._executors = {name: BoundedExecutor(name, *sizes) for name, sizes in EXECUTORS.items()}
        self._bodies = BodyReader(self._spool, self._patience)
        try:
            await asyncio.to_thread(self._keeper.start)
        except Exception as error:
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await asyncio.to_thread(self._keeper.stop)
        for executor in self._executors.values():
            executor.close()
        self._bodies.close()
        await send({"type": "lifespan.shutdown.complete"})

    async def _state(self, scope: Mapping[str, Any], send: Send) -> None:
        latest = self._keeper.latest
        if self._state_messages is None or self._state_messages[0] is not latest:
            etag = (b"etag", latest.etag)
            full = [etag, *COMMON_HEADERS, (b"content-type", b"application/json")]
            self._state_messages = (
                latest,
                {"type": "http.response.start", "status": 200, "headers": full},
                {"type": "http.response.body", "body": latest.body},
                {"type": "http.response.start", "status": 304, "headers": [etag, *COMMON_HEADERS]},
            )
        _, start, body, unchanged = self._state_messages
        for name, value in scope["headers"]:
            if name == b"if-none-match" and latest.etag in value:
                await send(unchanged)
                await send(NO_BODY)
                return
        await send(start)
        await send(body)

    async def _request(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        try:
            response, executor = await self._call_app(scope, receive)
        except Refusal as refusal:
            await _refuse(scope, refusal, send)
        except Disconnected:
            pass
        except Exception:
            log.exception("%s %s", scope["method"], scope["path"])
            await _refuse(scope, Refusal(500, "broken", "Something went wrong on the server: try again."), send)
        else:
            try:
                await send_response(response, executor, send, CHUNK_PATIENCE)
            except TimeoutError:
                log.info("the client stopped reading %s", scope["path"])

    async def _call_app(self, scope: dict[str, Any], receive: Receive) -> tuple[AppResponse, BoundedExecutor]:
        """Read the request to its end, and call the application."""
        if self._bodies is None:
            raise RuntimeError("the gateway was not started: it needs a server with ASGI's lifespan")
        limits = request_limits(scope["method"], scope["path"])
        executor = self._executors[limits.executor]
        body, size = await self._bodies.read(limits, _content_length(scope["headers"]), receive)
        try:
            response = AppResponse()
            await executor.run(response.begin, self._app, build_wsgi_environ(scope, body, size))
        finally:
            body.close()
        return response, executor


NO_BODY = {"type": "http.response.body", "body": b""}


def _content_length(headers: list[tuple[bytes, bytes]]) -> int | None:
    """Return the body's length by its header: 0 without one, None for a body in chunks.

    Raises:
        Refusal: The header is not a number.
    """
    length = 0
    for name, value in headers:
        if name == b"transfer-encoding":
            return None
        if name == b"content-length":
            if not (value.isdigit() and len(value) <= 15):
                raise Refusal(400, "bad-length", "The header Content-Length of the request is not a number.")
            length = int(value)
    return length


async def _refuse(scope: Mapping[str, Any], refusal: Refusal, send: Send) -> None:
    """Answer a request that was turned down, and close the connection, on which more bytes may arrive."""
    headers = [*COMMON_HEADERS, (b"connection", b"close"), (b"content-security-policy", b"default-src 'none'")]
    if refusal.retry_after is not None:
        headers.append((b"retry-after", str(refusal.retry_after).encode()))
    if scope["path"].startswith("/api/"):
        headers.append((b"content-type", b"application/json"))
        body = to_json(ErrorResponse(error=refusal.code, message=str(refusal)))
    else:
        headers.append((b"content-type", b"text/html; charset=utf-8"))
        body = PAGE.format(message=html.escape(str(refusal))).encode()
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Not now</title><p>{message}</p><p><a href="/">Try again</a></p></html>
"""
