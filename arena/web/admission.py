"""What a request's head already answers, asked before the request gets a place, a thread or a byte of memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from arena.bootstrap import EventContext
from arena.errors import ArenaError, BadSecret
from arena.services import claims, entries
from arena.services.schemas import Snapshot
from arena.web import security
from arena.web.cookies import ConsoleSessions, read_voter
from arena.web.errors import status_of
from arena.web.limits import LOGIN_LIMITS, RequestLimits, console_limits, public_limits
from arena.web.refusal import Refusal
from trainer.verse.identity import is_secret

Headers = Mapping[str, str]  # by lower-case name
PIECE = "piece"  # names of classes of requests: see `web.limits`
UPLOADS = ("claim", "large claim", "bundle", PIECE)


@dataclass(frozen=True)
class Admission:
    """A request that may be read."""

    limits: RequestLimits
    sender: str = ""  # whose it is: each sender has one body arriving at an address; "": not known
    question: Callable[[], None] | None = None  # asks the database, in a thread; raises a `Refusal`


Admit = Callable[[str, str, Headers], Admission]


def admit_everybody(method: str, path: str, headers: Headers) -> Admission:
    """Ask nothing.

    Args:
        method: the HTTP method.
        path: the address.
        headers: of the request.
    """
    return Admission(public_limits(method, path, _size(headers)))


def _size(headers: Headers) -> int | None:
    length = headers.get("content-length", "")
    return int(length) if length.isascii() and length.isdigit() else None


class PublicAdmission:
    """The questions on the public port: whose request it is, and whether the event takes such a request now."""

    def __init__(
        self, event: EventContext, snapshot: Callable[[], Snapshot], clock: Callable[[], float] = time.time
    ) -> None:
        """Make the questions of one event.

        Args:
            event: the event.
            snapshot: returns the snapshot in memory.
            clock: seconds since the epoch.
        """
        self._event, self._snapshot, self._clock = event, snapshot, clock

    def __call__(self, method: str, path: str, headers: Headers) -> Admission:
        """Admit a request whose body is to be read, or refuse it.

        Args:
            method: the HTTP method.
            path: the address.
            headers: of the request.

        Raises:
            Refusal: Nobody can be meant, or the event takes no such request now.
        """
        limits = public_limits(method, path, _size(headers))
        if not limits.max_bytes:
            return Admission(limits)
        is_api = path.startswith("/api/")
        secret = security.bearer(headers.get("authorization", "")) if is_api else None
        secret = secret or read_voter(self._event.settings, headers.get("cookie", ""))
        if secret is None:
            raise security.no_secret() if is_api else security.foreign_form()
        if not is_secret(secret):
            raise _refusal(BadSecret())
        ask = partial(self._ask, limits.name, path, secret) if limits.name in UPLOADS else None
        if limits.name != PIECE and self._snapshot().state == "open":
            ask = None  # anybody may enter
        return Admission(limits, secret, ask)

    def _ask(self, name: str, path: str, secret: str) -> None:
        """Ask the database whether it is worth reading a claim, a piece or a bundle of this sender.

        Raises:
            Refusal: It is not.
        """
        try:
            if name == PIECE:
                entries.check_receiving(self._event.db, path.rpartition("/")[2], secret, now=self._clock())
            else:
                claims.check_sender(self._event.db, secret, now=self._clock())
        except ArenaError as error:
            raise _refusal(error) from None


def _refusal(error: ArenaError) -> Refusal:
    return Refusal(status_of(error), error.code, error.args[0])


class ConsoleAdmission:
    """The question on the console's port: who has logged in has a lane and threads that nobody else can fill."""

    def __init__(self, sessions: ConsoleSessions) -> None:
        self._sessions = sessions

    def __call__(self, method: str, path: str, headers: Headers) -> Admission:
        """Admit a request.

        Args:
            method: the HTTP method.
            path: the address.
            headers: of the request.
        """
        session = self._sessions.read(headers.get("cookie", ""))
        return Admission(console_limits(method, path) if session is not None and session.inside else LOGIN_LIMITS)
