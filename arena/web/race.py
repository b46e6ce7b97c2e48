"""The race on phones: the curves of the trainings. Without JavaScript, a list of them."""

from __future__ import annotations

from flask import Blueprint, render_template

from arena.services import race as service
from arena.services.schemas import RaceView
from arena.web import security
from arena.web.context import get_context
from arena.web.public import SPREAD_MS, phase_key

race = Blueprint("race", __name__)


@race.get("/race")
def page() -> str:
    """Show the race, with the curve of this browser's owner emphasized."""
    ctx = get_context()
    state = ctx.snapshot()
    view: RaceView = ctx.cached(
        "race-page", (state.race, state.version, state.phase, state.epoch), lambda: service.get_race(ctx.db)
    )
    secret = security.known_voter()
    return render_template(
        "race.html",
        race=view,
        own=service.own_nickname(ctx.db, secret) if secret is not None and view.curves else None,
        state=state,
        key=phase_key(state),
        now=ctx.now,
        follow=True,
        spread=SPREAD_MS,
        address=ctx.base_url,
    )
