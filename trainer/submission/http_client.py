"""Speaks to an event over HTTP, and does not give up when the network does."""

from __future__ import annotations

import http.client
import random
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from trainer.errors import EventRefused, UploadError
from trainer.text import plain
from trainer.verse import strictjson

TIMEOUT = 30.0  # seconds of silence from the network
FIRST_PATIENCE = 8.0  # seconds of waiting until a server has answered once: a wrong address is told soon
PATIENCE = 300.0  # seconds of waiting in a row afterwards: a server that restarts, a network that comes back
SHORTEST, LONGEST = 0.25, 15.0  # seconds between two tries
LONGEST_ASKED = 60.0  # seconds that a server may ask us to wait
MAX_ANSWER = 2**20  # bytes
TRY_AGAIN = (408, 500, 502, 503, 504)  # what servers, and tunnels before them, answer while they are in trouble
MOVED = (301, 302, 303, 307, 308)


@dataclass(frozen=True)
class Address:
    """Where an event is."""

    secure: bool
    host: str
    port: int

    @classmethod
    def of(cls, url: str) -> Address:
        """Read an address as people paste it; a page's path after it does not matter.

        Raises:
            UploadError: it is none.
        """
        try:
            parts = urlsplit(url.strip())
            if parts.scheme in ("http", "https") and parts.hostname and url.isprintable() and " " not in parts.netloc:
                secure = parts.scheme == "https"
                parts.hostname.encode("idna")  # as a connection will: a UnicodeError is a ValueError
                return cls(secure, parts.hostname, parts.port or (443 if secure else 80))
        except ValueError:
            pass
        raise UploadError(f"--to {plain(url)!r} is no address: it must look like http://192.168.1.5:8000")

    @property
    def url(self) -> str:
        """The same address, always written alike."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == (443 if self.secure else 80) else f":{self.port}"
        return f"{'https' if self.secure else 'http'}://{host}{port}"


@dataclass(frozen=True)
class Answer:
    """What a server said."""

    status: int
    data: dict[str, Any]
    retry_after: float | None  # seconds


class Wire:
    """One connection to an event, opened again when it breaks."""

    def __init__(
        self,
        address: Address,
        secret: str,
        *,
        wait: Callable[[float], None] = time.sleep,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        """
        Args:
            secret: of the owner; sent with every request.
            wait: lets so many seconds pass.
            say: told why nothing moves.
        """
        self._address, self._wait, self._say = address, wait, say
        self._headers = {"Authorization": f"Bearer {secret}", "Accept": "application/json"}
        self._connection: http.client.HTTPConnection | None = None
        self._met = False  # whether an event ever answered here

    def ask(self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Answer:
        """Ask until the server has answered, one way or another; only then it counts.

        Raises:
            UploadError: nobody answers, or it is no event.
        """
        waited, tries = 0.0, 0
        while True:
            asked = 0.0  # seconds that the server asks us to wait
            try:
                answer = self._once(method, path, body, {**self._headers, **(headers or {})})
                if answer.status not in TRY_AGAIN and not (answer.status == 429 and answer.retry_after is not None):
                    self._met = True
                    return answer
                asked = min(answer.retry_after or 0.0, LONGEST_ASKED)
                reason = plain(str(answer.data.get("message") or f"it answered {answer.status}"))
            except (OSError, http.client.HTTPException) as error:
                self.close()
                reason = self._reason(error)
            patience = PATIENCE if self._met else FIRST_PATIENCE
            if waited >= patience:
                raise UploadError(
                    f"{self._address.url} gives no answer ({reason}): check the address and the network, and run the "
                    "same command again; it goes on where it stopped"
                )
            seconds = min(LONGEST, SHORTEST * 2**tries) * (0.75 + 0.5 * random.random())
            seconds = max(seconds, asked)
            if tries:  # the first failure is often a connection that idled too long
                self._say(f"{reason}; trying again")
            self._wait(seconds)
            waited, tries = waited + seconds, tries + 1

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _once(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        if self._connection is None:
            kind = http.client.HTTPSConnection if self._address.secure else http.client.HTTPConnection
            self._connection = kind(self._address.host, self._address.port, timeout=TIMEOUT)
        self._connection.request(method, path, body, dict(headers))
        response = self._connection.getresponse()
        data = response.read(MAX_ANSWER)
        if response.status in MOVED:
            place = plain(response.getheader("Location") or "elsewhere")
            raise UploadError(f"{self._address.url} sends us to {place}: use that address with --to")
        after = response.getheader("Retry-After") or ""
        try:
            told = strictjson.parse(data)
        except ValueError:
            told = None
        if not isinstance(told, dict):
            if response.status not in TRY_AGAIN:
                raise UploadError(f"what answers at {self._address.url} is no verse arena: check the address")
            told = {}
        return Answer(response.status, told, float(after) if after.isascii() and after.isdecimal() else None)

    def _reason(self, error: Exception) -> str:
        """Why a try failed; raises where another can only fail alike."""
        if isinstance(error, socket.gaierror) and not self._met:
            raise UploadError(f"there is no {self._address.host!r} in this network: check the address") from None
        if isinstance(error, ssl.SSLError):
            what = getattr(error, "verify_message", "") or error.reason or "no TLS"
            raise UploadError(f"{self._address.url} cannot be trusted ({what}): check the address") from None
        if isinstance(error, TimeoutError):
            return "no answer in time"
        return plain(getattr(error, "strerror", None) or "the connection was cut")


def refused(answer: Answer) -> EventRefused:
    """The error for an answer that says no."""
    message = answer.data.get("message")
    code = answer.data.get("error")
    return EventRefused(
        str(code) if isinstance(code, str) else str(answer.status),
        plain(message) if isinstance(message, str) else f"the event refused it, with status {answer.status}",
    )
