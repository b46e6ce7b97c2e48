"""The page for the projector, which updates by itself."""

from __future__ import annotations

from flask import Blueprint, render_template

from arena.errors import EntryNotFound
from arena.services import queries
from arena.services.schemas import MatchView, RoundView, StageView
from arena.web import filters
from arena.web.context import get_context, static_address
from arena.web.public import bundle_size, phase_key, stage_of

stage = Blueprint("stage", __name__)

REVEAL_SECONDS = 25.0  # that a result is shown before the bracket or the champion
WIDE_BRACKET = 8  # matches of the first column shown, at most
LIVE_BYTES = 64_000_000  # the largest bundle whose verse the stage's own machine writes again
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
        rounds=visible_rounds(view),
        story=story_of(view),
        address=address,
        reachable=not ctx.settings.is_local,
        spoken=address.removeprefix("http://").removeprefix("https://"),
        digits=LOG_DIGITS,
        worker=static_address("verse-worker.js"),
        live_bytes=LIVE_BYTES,
        champion_bytes=_champion_bytes(view) if scene == "champion" else None,
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


def visible_rounds(view: StageView) -> list[RoundView]:
    """Return the part of the bracket to show: all of it, or the matches around the one that is played.

    At most `WIDE_BRACKET` matches of the first round that is not over, and what their winners can reach from there.
    """
    alive = next((i for i, column in enumerate(view.rounds) if any(m.state != "closed" for m in column.matches)), 0)
    for first, column in enumerate(view.rounds):
        count = sum(match.kind != "third" for match in column.matches)
        if count <= WIDE_BRACKET:
            return view.rounds[first:]
        if first == alive:
            break
    else:
        return []
    focus = view.next or view.last
    slots = [match.id for match in view.rounds[alive].matches]
    block = slots.index(focus.id) // WIDE_BRACKET if focus and focus.id in slots else 0
    shown = []
    for depth, column in enumerate(view.rounds[alive:]):
        width = WIDE_BRACKET >> depth
        if width == 0:
            break
        part = [match for match in column.matches if match.kind != "third"][block * width : (block + 1) * width]
        shown.append(RoundView(column.number, column.title, part))
    return shown


def story_of(view: StageView) -> str:
    """Return what the champion's bundle tells of its model, in one line; "" where it tells nothing."""
    facts = view.champion_facts or {}
    recipe, provenance = facts.get("recipe") or {}, facts.get("provenance") or {}
    minutes, loss = (provenance.get(name) if isinstance(provenance, dict) else None for name in ("minutes", "val_loss"))
    parts = [
        f"{facts['n_params']:,} weights" if facts.get("n_params") else "",
        f"trained for {minutes:,.0f} minutes" if isinstance(minutes, int | float) and 1 <= minutes < 1e6 else "",
        f"loss {loss:.2f}" if isinstance(loss, int | float) and 0 < loss < 100 else "",
        f"seed {recipe['seed']}" if "seed" in recipe else "",
    ]
    return " · ".join(part for part in parts if part)


def _texts(match: MatchView | None) -> list[str]:
    sides = (match.upper, match.lower) if match else ()
    return [side.prompt + side.text for side in sides if side is not None and side.text is not None]


def _champion(view: StageView) -> list[str]:
    side = view.champion
    return [side.prompt + side.text] if side is not None and side.text is not None else []


def _champion_bytes(view: StageView) -> int | None:
    """Return the size of the champion's bundle; None if nobody may have it, or it is not here any more."""
    ctx = get_context()
    if view.champion is None:
        return None
    try:
        return bundle_size(queries.entry_view(ctx.db, view.champion.entry, now=ctx.now).bundle)
    except EntryNotFound:
        return None
