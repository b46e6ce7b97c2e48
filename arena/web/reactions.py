"""Reactions of the room to a result: three signs that float over the stage. Off, unless the settings turn them on."""

from __future__ import annotations

from flask import Blueprint, abort, jsonify, redirect, request
from werkzeug.wrappers import Response

from arena.services.schemas import Snapshot
from arena.web import security
from arena.web.context import get_context
from arena.web.errors import home

reactions = Blueprint("reactions", __name__)


def are_taken(state: Snapshot) -> bool:
    """Whether the room can react now: the settings turn it on, and a result is shown."""
    return bool(get_context().settings.reactions) and state.phase in ("between", "champion") and state.last is not None


@reactions.post("/react")
def react() -> Response:
    """Count a reaction of this phone."""
    ctx = get_context()
    if not ctx.settings.reactions:
        abort(404)
    if are_taken(ctx.snapshot()):
        ctx.reactions.add(request.form.get("sign", "")[:10], security.voter_secret(), ctx.now)
    return redirect(home(), 303)


@reactions.get("/reactions")
def show() -> Response:
    """Send how often each sign was sent since the server started."""
    ctx = get_context()
    if not ctx.settings.reactions:
        abort(404)
    return jsonify(ctx.reactions.counts)
