"""Actions of the console for the heats, whole rounds, the clock of open matches, and the practice vote."""

from __future__ import annotations

from werkzeug.wrappers import Response

from arena.services import heats as service
from arena.services import practice, rounds
from arena.web.console import MAX_SECONDS, back, console, number, seen
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


@console.post("/round/open")
def open_round() -> Response:
    """Open all matches of the next round at once."""
    seconds = number("seconds", 0, MAX_SECONDS)
    rounds.open_round(get_context().db, seconds=seconds, seen=seen(), now=get_context().now)
    return back()


@console.post("/round/close")
def close_round() -> Response:
    """Take no more votes on the open matches."""
    rounds.close_round(get_context().db, seen=seen(), now=get_context().now)
    return back()


@console.post("/clock/pause")
def pause() -> Response:
    """Stop the clock of the open matches."""
    rounds.pause(get_context().db, seen=seen(), now=get_context().now)
    return back()


@console.post("/clock/resume")
def resume() -> Response:
    """Let the clock of the paused matches go on."""
    rounds.resume(get_context().db, seen=seen(), now=get_context().now)
    return back()


@console.post("/clock/extend")
def extend() -> Response:
    """Give all open matches more time."""
    rounds.extend(get_context().db, number("seconds", 1, MAX_SECONDS), seen=seen(), now=get_context().now)
    return back()


@console.post("/practice/open")
def open_practice() -> Response:
    """Open a practice vote."""
    seconds = number("seconds", 0, MAX_SECONDS)
    practice.open_practice(get_context().db, seconds=seconds, seen=seen(), now=get_context().now)
    return back()


@console.post("/practice/close")
def close_practice() -> Response:
    """End the practice vote."""
    practice.close_practice(get_context().db, seen=seen(), now=get_context().now)
    return back()
