"""The heats on phones: two verses at a time, at each voter's own pace. It works without JavaScript."""

from __future__ import annotations

from flask import Blueprint, redirect, render_template, request
from werkzeug.wrappers import Response

from arena.errors import PairGone
from arena.services import heats as service
from arena.web import security
from arena.web.context import get_context, root
from arena.web.public import SPREAD_MS, phase_key

heats = Blueprint("heats", __name__, url_prefix="/heats")


@heats.get("")
def page() -> str:
    """Show the pair that this voter judges."""
    ctx = get_context()
    state = ctx.snapshot()
    view = service.get_page(ctx.db, security.voter_secret())
    return render_template(
        "heats.html", heats=view, state=state, key=phase_key(state), now=ctx.now, follow=True, spread=SPREAD_MS
    )


@heats.post("/begin")
def begin() -> Response:
    """Deal the first pair, or another one in place of a verse that has left."""
    ctx = get_context()
    service.deal(ctx.db, security.voter_secret(), now=ctx.now)
    return redirect(f"{root()}/heats", 303)


@heats.post("/judge")
def judge() -> Response:
    """Take a judgement, and deal the next pair."""
    ctx = get_context()
    pair, side = request.form.get("pair", ""), request.form.get("side", "")[:10]
    if not (pair.isascii() and pair.isdigit() and len(pair) <= 9):
        raise PairGone
    service.judge(ctx.db, int(pair), security.voter_secret(), side, now=ctx.now)
    return redirect(f"{root()}/heats", 303)
