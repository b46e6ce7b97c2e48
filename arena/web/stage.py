"""The page for the projector, which updates by itself."""

from __future__ import annotations

import hmac
from dataclasses import replace

from flask import Blueprint, redirect, render_template, request
from itsdangerous import BadData
from werkzeug.wrappers import Response

from arena.errors import EntryNotFound
from arena.phrases import counted, phrase
from arena.services import queries, voters
from arena.services.practice import SAMPLES
from arena.services.receipts import key_fingerprint
from arena.services.schemas import MatchView, RoundView, StageView
from arena.settings import is_local_url
from arena.web import filters
from arena.web.context import get_context, root, static_address
from arena.web.cookies import STAGE_COOKIE, serializer, stage_key
from arena.web.modules import ENGINE
from arena.web.public import bundle_size, phase_key, stage_of
from arena.web.translation import format_number, translate

stage = Blueprint("stage", __name__)

REVEAL_SECONDS = 25.0  # that a result is shown before the bracket or the champion
WIDE_BRACKET = 8  # matches of the first column shown, at most
LIVE_BYTES = 64_000_000  # the largest bundle whose verse the stage's own machine writes again


@stage.get("/stage")
def page() -> str | Response:
    """Show the stage; with the right key in the address, remember that this browser may show the room's PIN."""
    ctx = get_context()
    if (key := request.args.get("key")) is not None:
        return _with_key(key)
    state = ctx.snapshot()
    now = ctx.now
    view = stage_of(state)
    scene, turn = ("practice", None) if state.practice else scene_of(view, now)
    if scene == "lobby" and state.race is not None and state.heats is None:
        scene = "race"
    if scene == "champion":
        size = filters.stage_size(_champion(view), filters.ALONE)
    else:
        samples = [side.text for side in SAMPLES] if scene == "practice" else None
        size = filters.stage_size(samples or _texts(view.open if scene == "vote" else view.last))
    address = ctx.base_url
    pin = None
    if state.admission == "pin" and _shows_pin():
        pin, until = voters.room_pin(ctx.settings.secret_key, now=now)
        turn = until if turn is None else min(turn, until)
    return render_template(
        "stage.html",
        view=view,
        samples=SAMPLES,
        scene=scene,
        turn=turn,
        pin=pin,
        size=size,
        rounds=visible_rounds(view),
        story=story_of(view),
        address=address,
        reachable=not is_local_url(address),
        spoken=address.removeprefix("http://").removeprefix("https://"),
        fingerprint=key_fingerprint(ctx.settings.receipt_key),
        worker=static_address(ENGINE),
        live_bytes=LIVE_BYTES,
        champion_bytes=_champion_bytes(view) if scene == "champion" else None,
        state=state,
        key=phase_key(state),
        now=now,
        follow=True,
    )


def _with_key(key: str) -> Response:
    """Lead to the stage without the key, which the room should not read; a cookie keeps it."""
    ctx = get_context()
    response = redirect(f"{root()}/stage", 303)
    if hmac.compare_digest(key.encode(), stage_key(ctx.settings).encode()):
        value = serializer(ctx.settings, "stage").dumps(STAGE_COOKIE)
        secure = ctx.base_url.startswith("https:")
        response.set_cookie(STAGE_COOKIE, value, path=f"{root()}/stage", httponly=True, samesite="Lax", secure=secure)
    return response


def _shows_pin() -> bool:
    """Whether this browser was opened with the stage's key: phones at home see the stage, too, but not the PIN."""
    try:
        value = serializer(get_context().settings, "stage").loads(request.cookies.get(STAGE_COOKIE, ""))
    except (BadData, UnicodeDecodeError):
        return False
    return bool(value == STAGE_COOKIE)


def scene_of(view: StageView, now: float) -> tuple[str, float | None]:
    """Return the scene to show, and the time at which the next scene follows by itself."""
    if view.phase in ("champion", "published") and view.champion is None and view.open is None:
        return "end", None
    if view.phase in ("before", "entering", "checking"):
        return "lobby", None
    if view.open is not None:
        return _voting_scene(view, view.open, now)
    if view.last is not None and view.last.closed_at is not None and now < view.last.closed_at + REVEAL_SECONDS:
        return "reveal", view.last.closed_at + REVEAL_SECONDS
    if view.phase in ("champion", "published") and view.champion is not None:
        return "champion", None
    return "bracket", None


def _voting_scene(view: StageView, match: MatchView, now: float) -> tuple[str, float | None]:
    """Return the scene while matches are open: one, or several that were opened together.

    Args:
        view: of the stage.
        match: the one with a second vote, else the first.
        now: seconds since the epoch.
    """
    last = view.last
    together = len(view.opened) > 1 or (last is not None and last.opened_at == match.opened_at)
    if match.poll_round or not together:
        return "vote", None
    if last is not None and last.opened_at == match.opened_at and now < (last.closed_at or 0.0) + REVEAL_SECONDS:
        return "reveal", (last.closed_at or 0.0) + REVEAL_SECONDS
    return "round", None


def visible_rounds(view: StageView) -> list[RoundView]:
    """Return the part of the bracket to show: all of it, or the matches around the one that is played.

    At most `WIDE_BRACKET` matches of the first round that is not over, and what their winners can reach from there.
    """
    opening = view.rounds[0].matches if len(view.rounds) > 1 else []
    if any(match.decided_by == "bye" for match in opening) and all(match.state == "closed" for match in opening):
        view = replace(view, rounds=view.rounds[1:])  # a column of a few matches that are over
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
    known = provenance if isinstance(provenance, dict) else {}
    minutes, bits = known.get("minutes"), known.get("bits_per_character")
    parts = []
    if facts.get("n_params"):
        parts.append(phrase("%(number)s weights", number=facts["n_params"]))
    if isinstance(minutes, int | float) and 1 <= minutes < 1e6:
        parts.append(counted("trained for %(num)s minute", "trained for %(num)s minutes", round(minutes)))
    if isinstance(bits, int | float) and 0 < bits < 100:
        parts.append(phrase("%(bits)s bits per character", bits=format_number(bits, decimals=2)))
    if "seed" in recipe:
        parts.append(phrase("seed %(seed)s", seed=str(recipe["seed"])))
    return " · ".join(translate(part) for part in parts)


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
