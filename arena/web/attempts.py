"""Limits of attempts by address: guesses of tickets and PINs, and phones that join with a PIN.

A room may sit behind one address, so what is allowed at once is enough for a room, and what follows is slow.
"""

from __future__ import annotations

import ipaddress
import math
import threading
from collections import OrderedDict

MAX_ADDRESSES = 10_000  # that are remembered; the one heard of least recently is forgotten


class Attempts:
    """So many attempts of an address at once, and then so many a minute."""

    def __init__(self, burst: int, per_minute: float) -> None:
        """Make a limit.

        Args:
            burst: attempts that are allowed at once.
            per_minute: attempts that come back in a minute.
        """
        self._burst, self._rate = float(burst), per_minute / 60
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()  # attempts, and when they were counted
        self._lock = threading.Lock()

    def wait(self, address: str | None, now: float) -> int:
        """Return the seconds until an address may try again; 0 if it may now."""
        with self._lock:
            return self._wait(self._available(network_of(address), now))

    def take(self, address: str | None, now: float) -> int:
        """Count an attempt of an address, and return 0; or the seconds until it may try again."""
        key = network_of(address)
        with self._lock:
            left = self._available(key, now)
            if seconds := self._wait(left):
                return seconds
            self._left[key] = (left - 1, now)
            self._left.move_to_end(key)
            if len(self._left) > MAX_ADDRESSES:
                self._left.popitem(last=False)
            return 0

    def _available(self, key: str, now: float) -> float:
        left, at = self._left.get(key, (self._burst, now))
        return min(self._burst, left + max(0.0, now - at) * self._rate)

    def _wait(self, left: float) -> int:
        return 0 if left >= 1 else max(1, math.ceil((1 - left) / self._rate))


def network_of(address: str | None) -> str:
    """Return what an address counts as: itself, and in IPv6 its network, since a device has many addresses there.

    >>> network_of("2001:db8:1:2:3::4"), network_of("::ffff:192.168.1.5"), network_of(None)
    ('2001:db8:1:2::', '192.168.1.5', '')
    """
    try:
        parsed = ipaddress.ip_address((address or "").partition("%")[0])
    except ValueError:
        return ""
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.IPv6Address(int(parsed) >> 64 << 64))
    return str(parsed)
