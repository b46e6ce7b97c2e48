"""The page from which tickets are printed. It needs nothing but a browser."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, TypeVar

from jinja2 import Environment, PackageLoader

from arena.web.filters import qr, single_line
from arena.web.translation import SOURCE, translations_of
from trainer.verse.text import pluralize

if TYPE_CHECKING:
    from arena.services.tickets import Card

PER_PAGE = 10  # cards of a business card's size, on A4 and on US Letter
T = TypeVar("T")


def render_sheet(cards: Sequence[Card], spare: Sequence[Card], address: str, event: str, language: str = SOURCE) -> str:
    """Return the page with all cards, to be printed and cut.

    Args:
        cards: in the order in which they are printed.
        spare: those that are not valid yet, on pages of their own.
        address: the beginning of the codes' addresses, without a slash at its end.
        event: its name.
        language: of what guests read.

    Returns:
        HTML, with the codes in it.
    """
    templates = Environment(
        loader=PackageLoader("arena.web"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n"],
    )
    templates.install_gettext_translations(translations_of(language), newstyle=True)  # type: ignore[attr-defined]
    return templates.get_template("tickets.html").render(
        pages=[*_pages(cards), *_pages(spare)],
        event=single_line(event),
        language=language,
        address=address,
        spoken=address.removeprefix("http://").removeprefix("https://"),
        qr=qr,
        pluralize=pluralize,
        count=len(cards) + len(spare),
    )


def _pages(cards: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(cards), PER_PAGE):
        yield cards[start : start + PER_PAGE]
