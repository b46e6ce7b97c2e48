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
STYLE = ("arena.css", "site.css", "garamond-regular.woff2", "garamond-italic.woff2", "garamond-OFL.txt")


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
    yield "bracket.svg", drawings.bracket_svg(ranking, event).encode()
    champion = champion_of(ranking)
    if champion is not None:
        yield "champion.svg", drawings.card_svg(champion, event).encode()
    for entry in ranking.entries:
        yield certificate_name(entry), certificate(entry, event).encode()
        page = render_template("site/author.html", entry=entry, ranking=ranking, place=place_of(entry))
        yield page_name(entry), page.encode()
    page = render_template(
        "site/index.html",
        ranking=ranking,
        champion=champion,
        results=results,
        page_of={entry.entry: page_name(entry) for entry in ranking.entries},
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


def page_name(entry: RankedEntry) -> str:
    """Return the name of the file with the page of an author."""
    return f"author-{entry.seed}.html"


def certificate_name(entry: RankedEntry) -> str:
    """Return the name of the file with the certificate of an author."""
    return f"certificate-{entry.seed}.svg"
