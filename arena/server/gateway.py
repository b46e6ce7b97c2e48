"""A thin ASGI layer in front of Flask: it answers polls from memory and keeps slow clients away from threads.

A poll (`web.routes.STATE`) costs a comparison of two strings. Any other request must first be admitted by its head
(`web.admission`). Then its body is read to its end, within limits of size and time (`request_body`), a bounded executor
calls Flask (`wsgi`), and the response is sent as fast as the client takes it.
"""

from __future__ import annotations

import asyncio
import html
import io
import json
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote, quote_from_bytes

from arena.phrases import phrase
from arena.server.health import Health
from arena.server.metrics import Metrics
from arena.server.request_body import BodyReader, Receive
from arena.server.snapshot import SnapshotKeeper
from arena.server.streams import Streams
from arena.server.transfers import Transfers
from arena.server.wsgi import ASCII, AppResponse, BoundedExecutor, WSGIApp, build_wsgi_environ, send_response
from arena.services.schemas import to_json
from arena.settings import AUTO
from arena.web.admission import Admission, Admit
from arena.web.filters import sentence
from arena.web.refusal import Refusal
from arena.web.routes import EVENTS, STATE
from arena.web.schemas import ErrorResponse
from arena.web.security import TOKEN_HEADER
from arena.web.translation import SOURCE, language_of, translate

Send = Callable[[dict[str, Any]], Awaitable[None]]
CHUNK_PATIENCE = 60.0  # seconds that a client may take for one chunk of a response
COMMON_HEADERS = [(b"cache-control", b"no-cache"), (b"x-content-type-options", b"nosniff")]
KIND = "arena.kind"  # in the scope of a request that was admitted: its class, for the metrics
log = logging.getLogger(__name__)

# Threads, and requests at once, running or waiting. Votes have their own threads, so that no page or upload delays
# them; many, because votes that wait together share a transaction. At 800 votes a second the last of 4,000 waits 5 s.
EXECUTORS = {
    "votes": (32, 4_000),
    "pages": (6, 2_000),
    "questions": (2, 2_000),
    "claims": (1, 64),
    "uploads": (2, 64),
    "bundles": (1, 8),
    "heartbeats": (1, 256),
    "downloads": (2, 64),
}
LIVE, READY = "/healthz", "/readyz"  # addresses of health checks: the process answers; it can also do its work
CONSOLE_EXECUTORS = {"console": (2, 64), "login": (1, 64)}


class Companion(Protocol):
    """What is served beside a gateway, in the same process."""

    async def start(self) -> None:
        """Start it."""

    async def stop(self) -> None:
        """Stop it."""


class Gateway:
    """The ASGI application that the server runs."""

    def __init__(
        self,
        app: WSGIApp,
        keeper: SnapshotKeeper,
        spool: Path,
        admit: Admit,
        executors: Mapping[str, tuple[int, int]] = EXECUTORS,
        companion: Companion | None = None,
        streams: Streams | None = None,
        health: Health | None = None,
        metrics: Metrics | None = None,
        language: str = AUTO,
        is_console: bool = False,
        root: str = "",
    ) -> None:
        """Make a gateway; the server starts it.

        Args:
            app: the Flask application.
            keeper: the keeper of snapshots; it is started and stopped with the server.
            spool: an existing folder for large bodies that are arriving.
            admit: decides by a request's head whether the request is read.
            executors: threads, and requests at once, of each executor.
            companion: started and stopped with the server.
            streams: who listens for changes; None: nobody can. They are started and stopped with the server.
            health: answers health checks; None: their addresses go to the application.
            metrics: counts requests; None: nobody does.
            language: of refusals, as the event's settings have it.
            is_console: whether this is the console's, which no phone reaches.
            root: the path that each address of the event begins with, as /e/NAME; "": none. Other addresses lead there.
        """
        self._app, self._keeper, self._spool, self._admit = app, keeper, spool, admit
        self._sizes, self._companion, self._streams = executors, companion, streams
        self._health, self._metrics, self._language = health, metrics, language
        self._is_console, self._root = is_console, root
        self._executors: dict[str, BoundedExecutor] = {}
        self._bodies: BodyReader | None = None
        self._transfers = Transfers()
        self._state_messages: tuple[object, dict[str, Any], dict[str, Any], dict[str, Any]] | None = None

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Answer one connection, as ASGI defines it."""
        if scope["type"] == "http":
            if self._root and scope["path"] not in (LIVE, READY):
                if not scope["path"].startswith(f"{self._root}/"):
                    await self._lead_to_root(scope, send)
                    return
                scope = {**scope, "path": scope["path"].removeprefix(self._root), "root_path": self._root}
            if scope["path"] == STATE.path and scope["method"] == STATE.method:
                if self._streams is not None:
                    self._streams.note_poll()
                await self._state(scope, send)
            elif self._health is not None and scope["path"] in (LIVE, READY):
                await self._answer_health(scope["path"], send)
            elif self._streams is not None and scope["path"] == EVENTS.path and scope["method"] == EVENTS.method:
                await self._listen(self._streams, scope, receive, send)
            else:
                await self._counted(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        else:
            await send({"type": "websocket.close", "code": 1000})

    def start(self) -> None:
        """Make threads ready for requests."""
        self._executors = {name: BoundedExecutor(name, *sizes) for name, sizes in self._sizes.items()}
        if self._metrics is not None:
            for name, executor in self._executors.items():
                self._metrics.watch(name, executor.count)
        self._bodies = BodyReader(self._spool)

    def stop(self) -> None:
        """Start no request any more."""
        for executor in self._executors.values():
            executor.close()
        if self._bodies is not None:
            self._bodies.close()

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        self.start()
        try:
            if self._streams is not None:
                self._streams.start()
                self._keeper.follow(self._streams.publish)
            await asyncio.to_thread(self._keeper.start)
            if self._companion is not None:
                await self._companion.start()
        except Exception as error:
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        if self._streams is not None:
            self._streams.stop()
        if self._companion is not None:
            await self._companion.stop()
        await asyncio.to_thread(self._keeper.stop)
        self.stop()
        await send({"type": "lifespan.shutdown.complete"})

    async def _lead_to_root(self, scope: Mapping[str, Any], send: Send) -> None:
        """Lead a request for an address without the path of the event to the one with it."""
        path = scope["path"]
        if f"{path}/".lower().startswith(f"{self._root}/"):  # capitals, or no slash at the end
            path = path[len(self._root) :]
        path = path.lstrip("/")
        query = quote_from_bytes(scope["query_string"], safe=ASCII)
        location = f"{self._root}/{quote(path)}" + (f"?{query}" if query else "")
        headers = [(b"location", location.encode()), (b"content-length", b"0"), *COMMON_HEADERS]
        await send({"type": "http.response.start", "status": 308, "headers": headers})
        await send(NO_BODY)

    async def _answer_health(self, path: str, send: Send) -> None:
        assert self._health is not None
        parts = self._health.parts() if path == READY else {}
        status = 200 if all(parts.values()) else 503
        body = json.dumps({"ready" if path == READY else "live": status == 200, **parts}).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        headers += [(b"cache-control", b"no-store"), COMMON_HEADERS[1]]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _state(self, scope: Mapping[str, Any], send: Send) -> None:
        if self._metrics is not None:
            self._metrics.polls.inc()
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

    async def _listen(self, streams: Streams, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        try:
            await streams.serve(scope, receive, send, console=self._is_console)
        except Refusal as refusal:
            await self._refuse(scope, refusal, send)

    async def _counted(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Answer a request, and count it."""
        started, status = time.monotonic(), 0

        async def watched_send(message: dict[str, Any]) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        try:
            await self._request(scope, receive, watched_send)
        finally:
            if self._metrics is not None:
                self._metrics.request(scope.get(KIND, "refused"), status, time.monotonic() - started)

    async def _request(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        clock = asyncio.get_running_loop().time
        with ExitStack() as places:
            try:
                admission, has_body = await self._admit_request(scope, receive)
                transfer = places.enter_context(self._transfers.place(admission.limits, clock))
                response, executor = await self._call_app(scope, receive, admission, has_body)
            except Refusal as refusal:
                await self._refuse(scope, refusal, send)
            except Exception:
                log.exception("%s %s", scope["method"], scope["path"])
                await self._refuse(scope, Refusal(500, "broken", BROKEN), send)
            else:
                try:
                    await send_response(response, executor, send, CHUNK_PATIENCE, transfer)
                except TimeoutError:
                    log.info("the client stopped reading %s", scope["path"])

    async def _refuse(self, scope: Mapping[str, Any], refusal: Refusal, send: Send) -> None:
        """Answer a request that was turned down, and close the connection, on which more bytes may arrive."""
        headers = [*COMMON_HEADERS, (b"connection", b"close"), (b"content-security-policy", b"default-src 'none'")]
        if refusal.retry_after is not None:
            headers.append((b"retry-after", str(refusal.retry_after).encode()))
        sent = _headers(scope["headers"])
        is_api = scope["path"].startswith("/api/")
        code = SOURCE
        if not is_api or TOKEN_HEADER.lower() in sent:
            code = language_of(self._language, sent.get("cookie", ""), sent.get("accept-language", ""))
        message = sentence(translate(refusal.args[0], code))
        if is_api:
            headers.append((b"content-type", b"application/json"))
            body = to_json(ErrorResponse(error=refusal.code, message=message))
        else:
            headers.append((b"content-type", b"text/html; charset=utf-8"))
            texts = [html.escape(translate(text, code)) for text in (phrase("Not now"), phrase("Try again"))]
            page = PAGE.format(
                language=code, title=texts[0], message=html.escape(message), home=f"{self._root}/", again=texts[1]
            )
            body = page.encode()
        await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _admit_request(self, scope: dict[str, Any], receive: Receive) -> tuple[Admission, bool]:
        """Admit a request by its head; return also whether it has a body to read."""
        if self._bodies is None:
            raise RuntimeError("the gateway was not started: it needs a server with ASGI's lifespan")
        headers = _headers(scope["headers"])
        length = _content_length(headers)
        try:
            admission = self._admit(scope["method"], scope["path"], headers)
            scope[KIND] = admission.limits.name
            has_body = await self._bodies.check_size(admission.limits, length, receive)
            if has_body and admission.question is not None:
                await self._executors["questions"].run(admission.question)
        except Refusal:
            await self._bodies.drain(receive)
            raise
        return admission, has_body

    async def _call_app(
        self, scope: dict[str, Any], receive: Receive, admission: Admission, has_body: bool
    ) -> tuple[AppResponse, BoundedExecutor]:
        """Read the request to its end, and call the application.

        Args:
            scope: the scope of ASGI.
            receive: the callable of ASGI that returns the next message.
            admission: of the request.
            has_body: whether there is a body to read.

        Returns:
            A response that has begun, and the executor that fetches the rest.
        """
        assert self._bodies is not None  # the request was admitted
        executor = self._executors[admission.limits.executor]
        body, size = (await self._bodies.read(admission, scope["path"], receive)) if has_body else (io.BytesIO(), 0)
        try:
            response = AppResponse()
            await executor.run(response.begin, self._app, build_wsgi_environ(scope, body, size))
        finally:
            body.close()
        return response, executor


NO_BODY = {"type": "http.response.body", "body": b""}


def _headers(pairs: list[tuple[bytes, bytes]]) -> dict[str, str]:
    """Return the headers by name; of those that came twice the last one."""
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in pairs}


def _content_length(headers: Mapping[str, str]) -> int | None:
    """Return the body's length by its header: 0 without one, None for a body in chunks.

    Raises:
        Refusal: The header is not a number.
    """
    if "transfer-encoding" in headers:
        return None
    length = headers.get("content-length", "0")
    if not (length.isascii() and length.isdigit() and len(length) <= 15):
        raise Refusal(400, "bad-length", phrase("The header Content-Length of the request is not a number."))
    return int(length)


BROKEN = phrase("Something went wrong on the server: try again.")
PAGE = """<!doctype html>
<html lang="{language}"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title><p>{message}</p><p><a href="{home}">{again}</a></p></html>
"""
