"""Limits of requests by class: size and time of a body, bodies at once, and the threads that work on the class."""

from __future__ import annotations

import re
from dataclasses import dataclass

from arena.web import routes

KIB, MIB = 2**10, 2**20
MAX_DOWNLOADS = 8  # bundles sent at once: more phones of one room would only share the same Wi-Fi
MAX_PACKAGES = 32  # of those that guests install, sent at once; an installer comes back by itself


@dataclass(frozen=True)
class RequestLimits:
    """The limits of one class of requests, which has a lane of its own, and the executor that works on it."""

    name: str
    method: str
    path: re.Pattern[str]
    max_bytes: int  # of a body; 0: it is not read
    seconds: float  # that every body may take, however small
    min_rate: int  # bytes that each further second must bring; 0: there is no further second
    max_concurrent: int  # bodies that arrive at once; one more, and the slowest is turned away
    executor: str  # see `server.gateway`
    max_responses: int = 0  # responses that are sent at once; one more waits, or the slowest is ended; 0: any number
    larger: RequestLimits | None = None  # for bodies with more bytes

    def deadline(self, size: int) -> float:
        """Return the seconds within which so many bytes must have arrived."""
        return self.seconds + (size / self.min_rate if self.min_rate else 0.0)


# A claim is at most 1 MiB of header with its length before it, and most have less than 100 KB. To read a large one can
# take a tenth of a second. It has threads of its own, so that no other claim waits for it.
LARGE_CLAIM = RequestLimits(
    "large claim", routes.ENTER.method, routes.ENTER.pattern, MIB + 8, 10.0, 8 * KIB, 16, "bundles"
)

# The first that matches is used. Together they hold 90 MiB in memory, at most. A piece at its slowest takes 2 minutes,
# a bundle 53.
PUBLIC_LIMITS = (
    RequestLimits("vote", "POST", re.compile(r"/vote|/practice|/heats/(begin|judge)"), 4 * KIB, 3.0, 0, 4_000, "votes"),
    RequestLimits(
        "claim", routes.ENTER.method, routes.ENTER.pattern, 128 * KIB, 10.0, 8 * KIB, 64, "claims", larger=LARGE_CLAIM
    ),
    RequestLimits("piece", routes.SEND_PIECE.method, routes.SEND_PIECE.pattern, MIB, 10.0, 8 * KIB, 32, "uploads"),
    RequestLimits("bundle", "POST", re.compile(r"/enter"), 193 * MIB, 10.0, 64 * KIB, 8, "bundles"),
    RequestLimits(
        "heartbeats", routes.HEARTBEATS.method, routes.HEARTBEATS.pattern, 16 * KIB, 5.0, 0, 256, "heartbeats"
    ),
    RequestLimits("reaction", "POST", re.compile(r"/react"), KIB, 3.0, 0, 1_000, "pages"),
    RequestLimits("form", "POST", re.compile(r"/join|/mine/\w+"), 16 * KIB, 5.0, KIB, 1_000, "pages"),
    RequestLimits("download", "GET", re.compile(r"/entries/[^/]*/bundle"), 0, 0.0, 0, 0, "downloads", MAX_DOWNLOADS),
    RequestLimits("package", "GET", re.compile(r"/wheels/files/[^/]*"), 0, 0.0, 0, 0, "downloads", MAX_PACKAGES),
    RequestLimits("page", "", re.compile(r"(?s).*"), 0, 0.0, 0, 0, "pages"),
)
LOGIN_LIMITS = RequestLimits("login", "", re.compile(r"(?s).*"), 4 * KIB, 3.0, 0, 64, "login")
CONSOLE_LIMITS = RequestLimits("console", "", re.compile(r"(?s).*"), 64 * KIB, 10.0, KIB, 64, "console")
CONSOLE_BUNDLE = RequestLimits(
    "console bundle", "POST", re.compile(r"/console/entries/add"), 193 * MIB, 10.0, 64 * KIB, 2, "console"
)


def public_limits(method: str, path: str, size: int | None = None) -> RequestLimits:
    """Return the limits of a request on the public port.

    Args:
        method: the HTTP method.
        path: the address.
        size: of the body, in bytes; None: any.
    """
    found = next(limits for limits in PUBLIC_LIMITS if limits.method in ("", method) and limits.path.fullmatch(path))
    return found.larger if found.larger is not None and (size is None or size > found.max_bytes) else found


def console_limits(method: str, path: str) -> RequestLimits:
    """Return the limits of a request on the console's port, of somebody who has logged in."""
    is_bundle = method == CONSOLE_BUNDLE.method and CONSOLE_BUNDLE.path.fullmatch(path)
    return CONSOLE_BUNDLE if is_bundle else CONSOLE_LIMITS
