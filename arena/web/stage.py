"""The page for the projector, which updates by itself."""

from __future__ import annotations

from flask import Blueprint, render_template

from arena.services.schemas import MatchView, StageView
from arena.web import filters
from arena.web.context import get_context
from arena.web.public import phase_key, stage_of

stage = Blueprint("stage", __name__)

REVEAL_SECONDS = 25.0  # that a result is shown before the bracket or the champion
WIDE_BRACKET = 8  # matches of the first column shown, at most
LOG_DIGITS = 12  # of the log's latest hash: enough to compare with a photograph of the screen


@stage.get("/stage")
def page() -> str:
    """Show the stage."""
    ctx = get_context()
    state = ctx.snapshot()
    now = ctx.now
    view = stage_of(state)
    scene, turn = scene_of(view, now)
    if scene == "champion":
        size = filters.stage_size(_champion(view), filters.ALONE)
    else:
        size = filters.stage_size(_texts(view.open if scene == "vote" else view.last))
    address = ctx.settings.base_url
    return render_template(
        "stage.html",
        view=view,
        scene=scene,
        turn=turn,
        size=size,
        rounds=view.rounds[first_round(view) :],
        address=address,
        spoken=address.removeprefix("http://").removeprefix("https://"),
        digits=LOG_DIGITS,
        state=state,
        key=phase_key(state),
        now=now,
        follow=True,
    )


def scene_of(view: StageView, now: float) -> tuple[str, float | None]:
    """Return the scene to show, and the time at which the next scene follows by itself."""
    if view.phase in ("champion", "published") and view.champion is None and view.open is None:
        return "end", None
    if view.phase in ("before", "entering", "checking"):
        return "lobby", None
    if view.open is not None:
        return "vote", None
    if view.last is not None and view.last.closed_at is not None and now < view.last.closed_at + REVEAL_SECONDS:
        return "reveal", view.last.closed_at + REVEAL_SECONDS
    if view.phase in ("champion", "published") and view.champion is not None:
        return "champion", None
    return "bracket", None


def first_round(view: StageView) -> int:
    """Return the index of the first round to show; larger rounds before it are left out."""
    for index, column in enumerate(view.rounds):
        if len(column.matches) <= WIDE_BRACKET:
            return index
    return 0


def _texts(match: MatchView | None) -> list[str]:
    sides = (match.upper, match.lower) if match else ()
    return [side.text for side in sides if side is not None and side.text is not None]


def _champion(view: StageView) -> list[str]:
    return [view.champion.text] if view.champion is not None and view.champion.text is not None else []
