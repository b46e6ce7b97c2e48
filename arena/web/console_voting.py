"""Actions of the console for the heats."""

from __future__ import annotations

from werkzeug.wrappers import Response

from arena.services import heats as service
from arena.web.console import back, console, seen
from arena.web.context import get_context

__all__ = ["console"]  # the blueprint, with these routes


@console.post("/heats/open")
def open_heats() -> Response:
    """Let voters judge pairs of verses."""
    service.open_heats(get_context().db, seen=seen(), now=get_context().now)
    return back()


@console.post("/heats/close")
def close_heats() -> Response:
    """End the judging, and rank the verses."""
    service.close_heats(get_context().db, seen=seen(), now=get_context().now)
    return back()
