"""HTTP requests to an event, repeated until the event responds or a time limit is reached."""

from __future__ import annotations

import ipaddress
import random
import time
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin, urlsplit

import urllib3
from urllib3.exceptions import HTTPError, InvalidHeader, NameResolutionError, NewConnectionError, ProxyError, SSLError
from urllib3.exceptions import TimeoutError as NoResponse

from trainer.errors import EventRefused, UploadError
from trainer.verse import strictjson
from trainer.verse.event_path import event_path
from trainer.verse.text import sanitize

TIMEOUT = 30.0  # seconds without a byte from the network
FIRST_PATIENCE = 8.0  # seconds of waiting until an event has responded once: a wrong address is reported soon
PATIENCE = 300.0  # seconds of waiting after that: the server may restart, the network may come back
MIN_WAIT, MAX_WAIT = 0.25, 15.0  # seconds between two tries
MAX_RETRY_AFTER = 60.0  # seconds that a server may ask for
MAX_RESPONSE_BYTES = 2**20
MAX_MESSAGE = 1_000  # characters of a server's text
RETRY_STATUSES = (408, 500, 502, 503, 504)  # of servers, and of tunnels before them, in trouble
REDIRECT_STATUSES = (301, 302, 303, 307, 308)
INVALID_RESPONSE = "the server's response is not one of a verse arena: check the address"


@dataclass(frozen=True)
class Address:
    """Where an event is."""

    is_secure: bool
    host: str
    port: int
    path: str = ""  # of the event, where several share a server

    @classmethod
    def parse(cls, url: str) -> Address:
        """Read an address as people paste it; the path of a page is ignored, but for that of the event.

        Raises:
            UploadError: It is not an address.
        """
        try:
            parts = urlsplit(url.strip())
            if parts.scheme in ("http", "https") and parts.hostname and url.isprintable() and " " not in parts.netloc:
                is_secure = parts.scheme == "https"
                parts.hostname.encode("idna")  # as a connection will: a UnicodeError is a ValueError
                path = event_path(url.strip().lower())  # phones and people write capitals
                if parts.path.lower().startswith("/e/") and not path:
                    raise ValueError
                return cls(is_secure, parts.hostname, parts.port or (443 if is_secure else 80), path)
        except ValueError:
            pass
        shown = sanitize(url, MAX_MESSAGE)
        raise UploadError(f"--to {shown!r} is not an address: it must look like http://192.168.1.5:8000")

    @property
    def url(self) -> str:
        """The address in its normal form."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == (443 if self.is_secure else 80) else f":{self.port}"
        return f"{'https' if self.is_secure else 'http'}://{host}{port}{self.path}"


@dataclass(frozen=True)
class Response:
    """What an event responded."""

    status: int
    data: dict[str, Any]
    retry_after: float | None  # seconds


def text_of(data: Mapping[str, Any], key: str) -> str:
    """Return a text of a response, fit for a terminal.

    Raises:
        UploadError: There is none.
    """
    value = data.get(key)
    if not isinstance(value, str):
        raise UploadError(INVALID_RESPONSE)
    return sanitize(value, MAX_MESSAGE)


def number_of(data: Mapping[str, Any], key: str, least: int) -> int:
    """Return a whole number of a response.

    Args:
        data: The response's, or a part of them.
        key: The number's.
        least: The smallest number allowed.

    Raises:
        UploadError: There is no such number.
    """
    value = data.get(key)
    if type(value) is not int or value < least:
        raise UploadError(INVALID_RESPONSE)
    return value


class EventClient:
    """A client of one event, with one connection that is kept open.

    Args:
        address: The event.
        secret: The participant's, sent with every request. None for requests that anybody may make.
        wait: Waits for this many seconds.
        say: Called with the reason if a request is repeated.
        timeout: Seconds without a byte from the network.
    """

    def __init__(
        self,
        address: Address,
        secret: str | None = None,
        *,
        wait: Callable[[float], None] = time.sleep,
        say: Callable[[str], None] = lambda line: None,
        timeout: float = TIMEOUT,
    ) -> None:
        self._address, self._wait, self._say = address, wait, say
        headers = {"Accept": "application/json"}
        self._secret = secret
        self._pool = _new_pool(address, headers=headers, retries=False, timeout=timeout, maxsize=1)
        self._has_responded = False

    @property
    def url(self) -> str:
        """The event's address."""
        return self._address.url

    def use_secret(self, secret: str) -> None:
        """Send a secret with every further request."""
        self._secret = secret

    def request(self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Response:
        """Repeat a request until the event has responded. Each request may be repeated without harm.

        Args:
            method: The HTTP method.
            path: The path and the query.
            body: Bytes to send.
            headers: Further headers than those of every request.

        Raises:
            UploadError: There is no response, or not one of an event.
        """
        waited, tries = 0.0, 0
        while True:
            requested_wait = 0.0  # seconds that the server asks for
            try:
                response = self._request_once(method, path, body, headers or {})
                is_limited = response.status == 429 and response.retry_after is not None
                if response.status not in RETRY_STATUSES and not is_limited:
                    self._has_responded = True
                    return response
                requested_wait = min(response.retry_after or 0.0, MAX_RETRY_AFTER)
                message = response.data.get("message") or f"the status was {response.status}"
                reason = sanitize(str(message), MAX_MESSAGE)
            except HTTPError as error:
                reason = self._explain(error)
            if waited >= (PATIENCE if self._has_responded else FIRST_PATIENCE):
                raise UploadError(
                    f"{self._address.url} does not respond ({reason}): check the address and the network, and run the "
                    "same command again; it resumes the upload"
                )
            backoff = min(MAX_WAIT, MIN_WAIT * 2**tries) * (0.75 + 0.5 * random.random())
            seconds = max(backoff, requested_wait)
            if tries:  # the first failure is often a connection that was idle too long
                self._say(f"{reason}; trying again")
            self._wait(seconds)
            waited, tries = waited + seconds, tries + 1

    def request_once(self, method: str, path: str, body: bytes = b"") -> Response:
        """Send a request, and do not repeat it.

        Args:
            method: The HTTP method.
            path: The path and the query.
            body: Bytes to send.

        Raises:
            UploadError: There is no response, or not one of an event.
        """
        try:
            return self._request_once(method, path, body, {})
        except HTTPError as error:
            raise UploadError(f"{self._address.url} does not respond ({self._explain(error)})") from None

    def close(self) -> None:
        """Close the connection."""
        self._pool.clear()

    def _request_once(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> Response:
        authorization = {"Authorization": f"Bearer {self._secret}"} if self._secret else {}
        response = self._pool.request(
            method,
            self._address.url + path,
            body=body or None,
            headers={**self._pool.headers, **authorization, **headers},
            redirect=False,
            preload_content=False,
        )
        data = response.read(MAX_RESPONSE_BYTES + 1)
        if len(data) > MAX_RESPONSE_BYTES:
            response.close()
        if response.status in REDIRECT_STATUSES:
            where = self._redirection(response.headers.get("Location") or "")
            raise UploadError(f"{self._address.url} redirects to {where}: use that address with --to")
        try:
            content = strictjson.parse(data)
        except ValueError:
            content = None
        if not isinstance(content, dict):
            if response.status not in RETRY_STATUSES:
                raise UploadError(f"{self._address.url} is not a verse arena: check the address")
            content = {}
        return Response(response.status, content, _retry_after(response))

    def _redirection(self, location: str) -> str:
        """Return the address of the event that a redirection leads to."""
        try:
            return Address.parse(urljoin(self._address.url, location)).url
        except (UploadError, ValueError):
            return sanitize(location, MAX_MESSAGE) or "another address"

    def _explain(self, error: HTTPError) -> str:
        """Return why a try failed, or raise if another try can only fail in the same way."""
        if isinstance(error, NameResolutionError) and not self._has_responded:
            raise UploadError(f"there is no {self._address.host!r} in this network: check the address") from None
        if isinstance(error, SSLError):
            cause = error.args[0] if error.args else error
            what = getattr(cause, "verify_message", "") or getattr(cause, "reason", "") or "no TLS"
            raise UploadError(f"{self._address.url} cannot be trusted ({what}): check the address") from None
        if isinstance(error, ProxyError):
            return "the proxy cannot be reached"
        if isinstance(error, NoResponse) and not isinstance(error, NewConnectionError):  # a refusal is one, too
            return "no response in time"
        return sanitize(getattr(error.__cause__, "strerror", None) or "the connection was closed", MAX_MESSAGE)


def refusal_error(response: Response) -> EventRefused:
    """Return the error for a response that refuses a request."""
    message, code = response.data.get("message"), response.data.get("error")
    return EventRefused(
        str(code) if isinstance(code, str) else str(response.status),
        sanitize(message, MAX_MESSAGE)
        if isinstance(message, str)
        else f"the event refused the request with status {response.status}",
    )


def _new_pool(address: Address, **options: Any) -> urllib3.PoolManager:
    """Return a connection pool, through the proxy that the environment names for this address."""
    proxies = urllib.request.getproxies()
    proxy = proxies.get("https" if address.is_secure else "http") or proxies.get("all")
    if proxy and not _is_loopback(address.host) and not urllib.request.proxy_bypass(address.host):
        manager: urllib3.PoolManager = urllib3.ProxyManager(proxy, **options)
    else:
        manager = urllib3.PoolManager(**options)
    manager.pools.dispose_func = urllib3.HTTPConnectionPool.close  # at once: an earlier error may hold on to it
    return manager


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _retry_after(response: urllib3.BaseHTTPResponse) -> float | None:
    try:
        return urllib3.Retry().get_retry_after(response)
    except InvalidHeader:
        return None
