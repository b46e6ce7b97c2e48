"""The results to take along: pictures in SVG, JSON and CSV. Each is made once, until something but a vote changes."""

from __future__ import annotations

from collections.abc import Callable

from flask import Blueprint, Response, request

from arena.errors import EntryNotFound
from arena.services.places import read_ranking
from arena.services.queries import results_view
from arena.services.schemas import Ranking
from arena.web import drawings, exports, site
from arena.web.assets import Asset
from arena.web.context import get_context
from arena.web.translation import language

downloads = Blueprint("downloads", __name__)

SVG, JSON, CSV = "image/svg+xml", "application/json", "text/csv"


def _kept(name: str, make: Callable[[Ranking, str], str | bytes], mimetype: str) -> Response:
    """Return a file of the results, made once for each state of the event."""
    ctx = get_context()
    version = ctx.snapshot().version

    def compute() -> Asset:
        data = make(read_ranking(ctx.db, now=ctx.now), ctx.title)
        return Asset.of(data.encode() if isinstance(data, str) else data, mimetype)

    response = ctx.cached(f"{name}-{language()}", version, compute).response(request)
    response.headers["Cache-Control"] = "no-cache"
    response.vary.update(("Accept-Language", "Cookie"))
    if mimetype == SVG:
        response.headers["Content-Security-Policy"] = drawings.picture_policy()
    if mimetype == CSV:
        response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


@downloads.get("/results/bracket.svg")
def bracket() -> Response:
    """Show the bracket as a picture."""
    return _kept("bracket.svg", drawings.bracket_svg, SVG)


@downloads.get("/results/champion.svg")
def champion() -> Response:
    """Show the champion's verse as a picture."""

    def card(ranking: Ranking, event: str) -> str:
        entry = site.champion_of(ranking)
        if entry is None:
            raise EntryNotFound
        return drawings.card_svg(entry, event)

    return _kept("champion.svg", card, SVG)


def _everything(ranking: Ranking, _: str) -> bytes:
    ctx = get_context()
    return exports.results_json(ranking, results_view(ctx.db, now=ctx.now).heats)


@downloads.get("/results/results.json")
def results() -> Response:
    """Send everything that is public."""
    return _kept("results.json", _everything, JSON)


@downloads.get("/results/ranking.csv")
def ranking() -> Response:
    """Send the places of everybody."""
    return _kept("ranking.csv", lambda ranking, _: exports.ranking_csv(ranking), CSV)


@downloads.get("/results/matches.csv")
def matches() -> Response:
    """Send the votes of all matches."""
    return _kept("matches.csv", lambda ranking, _: exports.matches_csv(ranking), CSV)


@downloads.get("/entries/<entry_id>/certificate.svg")
def certificate(entry_id: str) -> Response:
    """Show the certificate of an author, once the champion is known."""
    ctx = get_context()
    entry = next((one for one in read_ranking(ctx.db, now=ctx.now).entries if one.entry == entry_id), None)
    if entry is None:
        raise EntryNotFound
    response = Asset.of(site.certificate(entry, ctx.title).encode(), SVG).response(request)
    response.headers["Content-Security-Policy"] = drawings.picture_policy()
    return response
