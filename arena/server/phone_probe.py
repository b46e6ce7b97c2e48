"""A page on which one phone says that it can reach this computer, and what time it has."""

from __future__ import annotations

import contextlib
import http.client
import threading
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from trainer.verse.text import sanitize

REQUEST_SECONDS = 5.0  # that a request may take
CLOCK_WAIT = 3.0  # seconds that the phone may take to tell its time; without JavaScript it never does
MAX_AGENT = 60  # characters of what a browser says of itself
PAGE = b"""<!doctype html><html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>It works</title></head>
<body style="font: 1.3rem/1.5 Georgia, serif; margin: 2rem"><h1>This phone reaches the computer</h1>
<p>You can close this page. The event&rsquo;s pages will have the same address.</p>
<script>fetch("/clock?ms=" + Date.now(), { method: "POST" })</script></body></html>"""


@dataclass(frozen=True)
class Arrival:
    """A phone that has arrived."""

    address: str
    agent: str  # what its browser says of itself; untrusted
    ahead: float | None  # seconds by which its clock is ahead; None: it did not say


class PhoneProbe:
    """A small server that waits for one phone. Requests of this computer itself do not count."""

    def __init__(self, host: str, port: int, own: Collection[str], clock: Callable[[], float] = time.time) -> None:
        """Listen; `opened` serves.

        Args:
            host: the address to listen on.
            port: the port; 0 for any that is free.
            own: addresses of this computer.
            clock: seconds since the epoch.

        Raises:
            OSError: It cannot listen there.
        """
        self._own, self._clock = frozenset(own), clock
        self._arrived, self._told = threading.Event(), threading.Event()
        self._address = self._agent = ""
        self._ahead: float | None = None
        probe = self

        class Handler(BaseHTTPRequestHandler):
            timeout = REQUEST_SECONDS

            def do_GET(self) -> None:
                """Show the page."""
                probe._see(self.client_address[0], self.headers.get("User-Agent", ""))
                self._answer(PAGE)

            def do_POST(self) -> None:
                """Take the phone's time."""
                probe._hear(self.client_address[0], parse_qs(urlsplit(self.path).query).get("ms", [""])[0])
                self._answer(b"")

            def _answer(self, body: bytes) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Print nothing."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: object, client_address: object) -> None:
                """Let a connection that breaks be."""

        self._server = Server((host, port), Handler)

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self._server.server_address[1])

    @contextlib.contextmanager
    def opened(self) -> Iterator[None]:
        """Serve while the block runs."""
        thread = threading.Thread(target=self._server.serve_forever, args=[0.1], daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._server.shutdown()
            thread.join()
            self._server.server_close()

    def wait(self, seconds: float) -> Arrival | None:
        """Wait for a phone; None if none arrives."""
        if not self._arrived.wait(seconds):
            return None
        self._told.wait(CLOCK_WAIT)
        return Arrival(self._address, self._agent, self._ahead)

    def _see(self, address: str, agent: str) -> None:
        if address not in self._own and not self._arrived.is_set():
            self._address, self._agent = address, sanitize(agent, MAX_AGENT)
            self._arrived.set()

    def _hear(self, address: str, milliseconds: str) -> None:
        if address == self._address and milliseconds.isascii() and milliseconds.isdigit() and len(milliseconds) <= 15:
            self._ahead = int(milliseconds) / 1000 - self._clock()
            self._told.set()


def reaches(address: str, port: int) -> bool:
    """Whether this computer itself reaches an address."""
    connection = http.client.HTTPConnection(address, port, timeout=REQUEST_SECONDS)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
