"""Actions of the console for the heats, whole rounds, the clock of open matches, the practice vote and the plan."""

from __future__ import annotations

from flask import render_template, request
from werkzeug.wrappers import Response

from arena.services import heats as service
from arena.services import planning, practice, queries, race, rounds
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


@console.post("/race")
def switch_race() -> Response:
    """Show the race of the trainings, or switch it off."""
    race.set_race(get_context().db, "off" not in request.form, seen=seen(), now=get_context().now)
    return back()


@console.post("/race/curve")
def hide_curve() -> Response:
    """Hide a curve of the race and its samples, or show it again."""
    nickname, hidden = request.form.get("nickname", "")[:80], "off" not in request.form
    race.hide_curve(get_context().db, nickname, hidden=hidden, seen=seen(), now=get_context().now)
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


@console.get("/plan")
def plan() -> str:
    """Show how long the voting takes in each way, and the timetable of the one that fits."""
    ctx = get_context()
    view = queries.console_view(ctx.db, now=ctx.now)
    minutes = number("minutes", 0, 1_440, request.args) or None
    voters = int(number("voters", 0, 100_000, request.args)) or view.voting.voters
    entries = int(number("entries", 0, 1_024, request.args)) or view.voting.entries
    rules = view.event.rules
    voting = planning.plan_voting(
        entries,
        voters=voters,
        match_seconds=rules.match_seconds,
        reading_seconds=rules.reading_seconds,
        minutes=minutes,
    )
    return render_template("plan.html", voting=voting, minutes=minutes, rules=rules)
