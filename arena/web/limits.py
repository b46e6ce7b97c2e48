"""Limits of requests by class: size, rate, number at once, and the threads that work on them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from arena.web import routes

KIB, MIB = 2**10, 2**20


@dataclass(frozen=True)
class RequestLimits:
    """The limits of one class of requests, and the executor that works on it."""

    name: str
    method: str
    path: re.Pattern[str]
    max_bytes: int
    min_rate: int  # bytes a second that must arrive on average, after `server.request_body.PATIENCE`
    max_concurrent: int  # bodies being read
    executor: str  # see `server.gateway.EXECUTORS`


# The first that matches is used. 64 bodies of 1 MiB are the memory that uploads may take; a claim is at most 1 MiB of
# header with its length before it. A piece at its slowest takes 2 minutes, a form 53.
REQUEST_LIMITS = (
    RequestLimits("vote", "POST", re.compile(r"/vote"), 64 * KIB, KIB, 4_000, "votes"),
    RequestLimits("claim", routes.ENTER.method, routes.ENTER.pattern, MIB + 8, 8 * KIB, 32, "uploads"),
    RequestLimits("piece", routes.SEND_PIECE.method, routes.SEND_PIECE.pattern, MIB, 8 * KIB, 32, "uploads"),
    RequestLimits("form", "POST", re.compile(r"/enter"), 193 * MIB, 64 * KIB, 8, "forms"),
    RequestLimits("page", "", re.compile(r"(?s).*"), 64 * KIB, KIB, 1_000, "pages"),
)


def request_limits(method: str, path: str) -> RequestLimits:
    """Return the limits of a request: the first that match."""
    return next(limits for limits in REQUEST_LIMITS if limits.method in ("", method) and limits.path.fullmatch(path))
