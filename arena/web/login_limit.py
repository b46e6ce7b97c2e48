"""A limit on wrong passwords for the console, by address."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, field

from arena.web.refusal import Refusal
from trainer.verse.text import pluralize

LOGIN_TRIES = 8  # wrong passwords of one address within `LOGIN_WINDOW`
LOGIN_WINDOW = 60.0  # seconds
MAX_PEERS = 1_000  # addresses remembered; beyond, the oldest is forgotten


@dataclass
class LoginLimit:
    """Counts wrong passwords by address."""

    failures: dict[str, deque[float]] = field(default_factory=dict)  # seconds since the epoch, by address
    lock: threading.Lock = field(default_factory=threading.Lock)

    def check(self, peer: str, now: float) -> None:
        """Check that an address may try a password.

        Raises:
            Refusal: It has used up its tries.
        """
        with self.lock:
            times = self.failures.get(peer, deque())
            while times and times[0] <= now - LOGIN_WINDOW:
                times.popleft()
            if len(times) >= LOGIN_TRIES:
                wait = int(times[0] + LOGIN_WINDOW - now) + 1
                message = f"Too many wrong passwords: try again in {pluralize(wait, 'second')}."
                raise Refusal(429, "login-limit", message, retry_after=wait)

    def failed(self, peer: str, now: float) -> None:
        """Count a wrong password."""
        with self.lock:
            self.failures.setdefault(peer, deque()).append(now)
            while len(self.failures) > MAX_PEERS:
                del self.failures[next(iter(self.failures))]
