"""The results as a folder of files that any web host can serve, and that opens from a disk.

The names of files come from numbers only. Every link is relative, and nothing is fetched from elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator

from flask import render_template

from arena.services.schemas import RankedEntry, Ranking, ResultsView
from arena.web import drawings, exports
from arena.web.modules import STATIC

MARK = "results.json"  # a folder with this file may be written again
FONTS = ("garamond-regular.woff2", "garamond-italic.woff2", "garamond-OFL.txt")
STYLE = ("arena.css", "site.css", *FONTS)


def site_files(ranking: Ranking, results: ResultsView, event: str) -> Iterator[tuple[str, bytes]]:
    """Make the files.

    Args:
        ranking: the bracket and the places.
        results: the closed matches and the heats.
        event: its name.

    Yields:
        The name of a file, and its bytes.
    """
    yield MARK, exports.results_json(ranking, results.heats)
    yield "ranking.csv", exports.ranking_csv(ranking)
    yield "matches.csv", exports.matches_csv(ranking)
    for name in STYLE:
        yield name, (STATIC / name).read_bytes()
    yield "fonts.css", render_template("site/fonts.css").encode()
    yield "bracket.svg", drawings.bracket_svg(ranking, event).encode()
    champion = champion_of(ranking)
    if champion is not None:
        yield "champion.svg", drawings.card_svg(champion, event).encode()
    page_of = {entry.entry: f"author-{number}.html" for number, entry in enumerate(ranking.entries, 1)}
    for number, entry in enumerate(ranking.entries, 1):  # by place: who prints the first one has the champion's
        yield f"certificate-{number}.svg", certificate(entry, event).encode()
        page = render_template("site/author.html", entry=entry, ranking=ranking, place=place_of(entry), number=number)
        yield page_of[entry.entry], page.encode()
    page = render_template(
        "site/index.html",
        ranking=ranking,
        champion=champion,
        results=results,
        page_of=page_of,
    )
    yield "index.html", page.encode()


def champion_of(ranking: Ranking) -> RankedEntry | None:
    """Return the entry of the first place."""
    return next((entry for entry in ranking.entries if entry.first == entry.last == 1), None)


def certificate(entry: RankedEntry, event: str) -> str:
    """Return the certificate of an author.

    Args:
        entry: the author's.
        event: its name.
    """
    return drawings.certificate_svg(entry, event, place_of(entry))


def place_of(entry: RankedEntry) -> str:
    """Return the place of an entry as a sentence."""
    return render_template("site/place.txt", entry=entry).strip()
