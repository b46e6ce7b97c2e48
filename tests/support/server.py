"""Servers and clients on loopback: `arena serve`, a small application, child processes, connections byte by byte."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
from flask import Flask, Response, request

from arena.errors import ArenaError
from arena.server.gateway import Gateway
from arena.server.network import free_port, raise_descriptor_limit
from arena.server.server import end_with_main_process, web_server
from arena.server.snapshot import SnapshotKeeper
from arena.services.schemas import EntryCounts, MatchCounts, Snapshot
from arena.web.admission import admit_everybody

ROOT = Path(__file__).resolve().parents[2]
ARENA = [sys.executable, "-c", "from arena.cli import main; main()"]
START_WITHIN = 180.0  # seconds; a cold machine with every core busy


def within(seconds: float, condition: Callable[[], object]) -> bool:
    """Whether the condition comes true in time. Looks often, so a test takes as long as what it waits for."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        threading.Event().wait(0.01)
    return True


BLANK = Snapshot(
    event="test",
    state="draft",
    phase="before",
    admission="open",
    closes_at=None,
    grace_ends_at=None,
    match=None,
    round=None,
    practice=None,
    heats=None,
    race=None,
    last=None,
    next=None,
    entries=EntryCounts(*[0] * 9),
    matches=MatchCounts(closed=0, total=0),
    champion=None,
    address="",
    edits=0,
    epoch=0,
    version=0,
)


class Notes:
    """A snapshot source that is told what to say."""

    def __init__(self) -> None:
        self.said = BLANK
        self.builds = 0
        self.dirty = True

    def say(self, **more: Any) -> None:
        self.said = replace(self.said, **more)
        self.dirty = True

    def changed(self) -> bool:
        changed, self.dirty = self.dirty, False
        return changed

    def build(self, now: float) -> Snapshot:
        self.builds += 1
        return self.said

    def close(self) -> None:
        pass


def small_app() -> Flask:
    """Answers with what it got; can be told to hold its threads."""
    app = Flask("small")
    app.config["held"] = threading.Event()
    app.config["inside"] = 0

    @app.route("/<path:where>", methods=["GET", "POST", "PATCH"])
    def echo(where: str) -> dict[str, Any]:
        body = request.get_data(cache=False)
        kind = type(request.environ["wsgi.input"]).__name__
        headers = {name: value for name, value in request.headers if name.startswith("X-")}
        return {
            "method": request.method,
            "path": request.path,
            "query": request.query_string.decode(),
            "size": len(body),
            "sha256": hashlib.sha256(body).hexdigest(),
            "memory": kind == "BytesIO",
            "headers": headers,
        }

    @app.get("/hold")
    def hold() -> str:
        app.config["inside"] += 1
        app.config["held"].wait(20)
        return "let go"

    @app.get("/broken")
    def broken() -> str:
        raise RuntimeError("as it was told")

    @app.get("/large/<int:mib>")
    def large(mib: int) -> Response:
        def chunks() -> Iterator[bytes]:
            for _ in range(16 * mib):
                yield b"x" * 65_536

        return Response(chunks(), mimetype="application/octet-stream")

    return app


def small_gateway(spool: str) -> Gateway:
    """In a server of its own: what the processes of `small_server` load."""
    end_with_main_process()
    return Gateway(small_app(), SnapshotKeeper(Notes), Path(spool), admit_everybody)


def small_server(spool: str, port: int) -> None:
    """Granian over the small application, as `serving` starts it over the real one."""
    from tests.support.server import small_gateway as load  # as its own process will find it

    server = web_server("127.0.0.1", port, raise_descriptor_limit())
    server.serve(target_loader=partial(load, spool), wrap_loader=False)


class Process:
    """A child with its lines, ended with the test whatever happens."""

    def __init__(self, command: list[str], variables: dict[str, str] | None = None, **more: Any) -> None:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **(variables or {})}
        self.popen = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment, cwd=ROOT, **more
        )
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.popen.stdout is not None
        for line in self.popen.stdout:
            self.lines.append(line.rstrip("\n"))

    @property
    def output(self) -> str:
        """All lines, as an error message shows them whole."""
        return "\n".join(self.lines)

    def said(self, text: str) -> str | None:
        """The first line with this text."""
        return next((line for line in list(self.lines) if text in line), None)

    def kill(self) -> None:
        self.popen.kill()
        self.popen.wait()

    def end(self) -> None:
        if self.popen.poll() is None:
            self.popen.terminate()
            try:
                self.popen.wait(30)
            except subprocess.TimeoutExpired:
                self.kill()
        self._reader.join(5)
        assert self.popen.stdout is not None
        self.popen.stdout.close()


def unused_port() -> int:
    """The first of two free ports in a row, of those that the system gives to no connection by itself.

    A port that the system chose may be a client's in the moment before somebody listens on it, or while a server that
    was killed is started again.
    """
    while True:
        with contextlib.suppress(ArenaError):
            port = 10_000 + 2 * secrets.randbelow(10_000)
            return free_port("127.0.0.1", free_port("127.0.0.1", port) + 1) - 1


class ArenaServer(Process):
    """`arena serve` on an event folder, once it says that it serves."""

    def __init__(
        self,
        folder: Path,
        port: int | None = None,
        *,
        wheels: Path | None = None,
        log_format: str = "text",
        **more: Any,
    ) -> None:
        options = ["--log-format", log_format, *(["--wheels", str(wheels)] if wheels else [])]
        super().__init__(
            [*ARENA, "serve", "--dir", str(folder), "--port", str(port or unused_port()), *options], **more
        )
        if not within(START_WITHIN, lambda: self.said("Ctrl-C ends it")):
            self.end()
            raise AssertionError(self.output)
        stage, console = self.said("stage "), self.said("console ")
        assert stage is not None and console is not None
        self.port = urlsplit(stage.split()[-1]).port or 0
        self.console_port = int(console.removesuffix("/console").rpartition(":")[2])

    @property
    def children(self) -> dict[str, psutil.Process]:
        """The web process and the verifying one."""
        children = {}
        for child in psutil.Process(self.popen.pid).children():
            try:
                line = " ".join(child.cmdline())
            except psutil.Error:  # it has just ended
                continue
            if "arena.worker" in line:
                children["verifying"] = child
            elif "spawn_main" in line:
                children["web"] = child
        return children

    def answers(self) -> bool:
        try:
            return ask(self.port, "GET /api/v1/state")[0] == 200
        except OSError:
            return False


class Wire:
    """One connection, spoken to byte by byte."""

    def __init__(self, port: int, timeout: float = 20.0) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=timeout)

    def send(self, text: str | bytes) -> Wire:
        self.socket.sendall(text.encode() if isinstance(text, str) else text)
        return self

    def answer(self) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of one answer with a Content-Length."""
        data = b""
        while b"\r\n\r\n" not in data:
            data += self._more()
        head, _, body = data.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        status = int(first.split()[1])
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        while len(body) < int(headers.get("content-length", 0)) and status != 304:
            body += self._more()
        return status, headers, body

    def _more(self) -> bytes:
        data = self.socket.recv(65_536)
        if not data:
            raise ConnectionError("closed before its answer was whole")
        return data

    def closed(self) -> bool:
        """Whether the other side has closed; waits for it."""
        try:
            return self.socket.recv(1) == b""
        except ConnectionError:
            return True

    def close(self) -> None:
        self.socket.close()


def ask(port: int, request: str, body: bytes = b"") -> tuple[int, dict[str, str], bytes]:
    """One request on a connection of its own: `ask(port, "GET /api/v1/state")`."""
    first, *headers = request.split("\n")
    if body:
        headers.append(f"Content-Length: {len(body)}")
    wire = Wire(port)
    try:
        lines = [f"{first} HTTP/1.1", "Host: 127.0.0.1", *headers]
        return wire.send("\r\n".join(lines) + "\r\n\r\n").send(body).answer()
    finally:
        wire.close()


class CuttingProxy:
    """Stands between a client and a server; cuts each connection after so many bytes, as often as told."""

    def __init__(self, port: int, after: int, times: int) -> None:
        self._port, self._after = port, after
        self.left = times
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self._port))
            for one, other, cut in ((near, far, True), (far, near, False)):
                threading.Thread(target=self._carry, args=(one, other, cut), daemon=True).start()

    def _carry(self, one: socket.socket, other: socket.socket, cut: bool) -> None:
        carried = 0
        with contextlib.suppress(OSError):
            while data := one.recv(65_536):
                other.sendall(data)
                carried += len(data)
                if cut and carried > self._after and self.left > 0:
                    self.left -= 1
                    break
        for each in (one, other):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def end(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)
