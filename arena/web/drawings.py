"""Pictures in SVG that need nothing else: the bracket, the card of the champion, and a certificate for each author.

SVG shows any script, prints at any size, and every browser draws it; the typeface is inside. Widths are estimated by
classes of characters, on the large side, so that no line leaves its box.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from flask import render_template
from markupsafe import Markup

from arena.services.schemas import MatchView, RankedEntry, Ranking, Side
from arena.web.filters import first_words, single_line, verse_lines
from arena.web.modules import STATIC
from arena.web.translation import get_text

FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # characters that XML cannot hold
LEADING = 1.4  # of the size: the height of a line
INDENT = 1.6  # of the size: of a line that continues the one above
SMALLEST = 8.0  # pixels of a verse's letters
WIDE, CAPITAL, NARROW, USUAL = 1.05, 0.86, 0.36, 0.54  # of the size: widths of characters, on the large side
COLUMN, GAP, ROW, HEAD = 260, 44, 58, 44  # pixels of the bracket: width of a match, between two, height of one, title


@dataclass(frozen=True)
class Line:
    """One line of a picture."""

    x: float
    y: float  # of its baseline
    given: str  # the part of it that belongs to the prompt
    own: str
    is_rtl: bool = False


@dataclass(frozen=True)
class FittedVerse:
    """A verse as large as it fits into a box."""

    size: float
    lines: list[Line]


@dataclass(frozen=True)
class Slot:
    """One match of the drawn bracket."""

    x: float
    y: float
    match: MatchView
    labels: tuple[str, str]
    is_last: bool  # of its column: no line leads on


def bracket_svg(ranking: Ranking, title: str) -> str:
    """Return the whole bracket as SVG.

    Args:
        ranking: what is public.
        title: the name of the event.
    """
    columns = [[match for match in column.matches if match.kind != "third"] for column in ranking.rounds]
    height = ROW * 2 ** max(0, len(columns) - 1) if columns else 0
    slots = []
    for number, matches in enumerate(columns):
        for index, match in enumerate(matches):
            y = HEAD + height * (2 * index + 1) / (2 * len(matches))
            slots.append(_slot(COLUMN * number + GAP * number, y, match, number == len(columns) - 1))
    third = [match for column in ranking.rounds for match in column.matches if match.kind == "third"]
    below = HEAD + height + ROW if third else HEAD + height
    for match in third:
        slots.append(_slot((COLUMN + GAP) * (len(columns) - 1), HEAD + height + ROW / 2, match, True))
    return render_template(
        "site/bracket.svg",
        title=text_of(title),
        titles=[(number * (COLUMN + GAP), column.title) for number, column in enumerate(ranking.rounds)],
        slots=slots,
        joins=_joins(columns, height),
        width=max(1, len(columns) * (COLUMN + GAP) - GAP),
        height=below + 8,
        column=COLUMN,
    )


def _slot(x: float, y: float, match: MatchView, is_last: bool) -> Slot:
    labels = [_label(side, match) for side in (match.upper, match.lower)]
    return Slot(x, y, match, (labels[0], labels[1]), is_last)


def _label(side: Side | None, match: MatchView) -> str:
    if side is None:
        return get_text("no opponent") if match.decided_by == "bye" else ""
    own = side.name if side.name is not None else first_words(side.text, side.prompt) if side.text else side.label
    return shorten(text_of(single_line(own)), COLUMN - 60, 17)


def _joins(columns: Sequence[Sequence[MatchView]], height: float) -> list[str]:
    """Return the lines from each match to the next as the data of SVG paths."""
    paths = []
    for number, matches in enumerate(columns[:-1]):
        for index in range(len(matches)):
            x = number * (COLUMN + GAP) + COLUMN
            start = HEAD + height * (2 * index + 1) / (2 * len(matches))
            end = HEAD + height * (2 * (index // 2) + 1) / max(1, len(matches))
            paths.append(f"M{x} {start:.1f}h{GAP / 2:.0f}V{end:.1f}h{GAP / 2:.0f}")
    return paths


def certificate_svg(entry: RankedEntry, event: str, place: str) -> str:
    """Return a certificate for one author as SVG, in the proportions of A4 in landscape.

    Args:
        entry: the author's.
        event: its name.
        place: as a whole sentence.
    """
    return render_template(
        "site/certificate.svg",
        entry=entry,
        name=shorten(text_of(single_line(entry.name)), 980, 58),
        event=shorten(text_of(single_line(event)), 980, 30),
        place=place,
        verse=fit_verse(entry.text, entry.prompt, x=161, y=330, width=800, height=290),
        style=style(),
    )


def card_svg(entry: RankedEntry, event: str) -> str:
    """Return the champion's verse as a card to share, in SVG.

    Args:
        entry: the champion.
        event: its name.
    """
    return render_template(
        "site/card.svg",
        entry=entry,
        name=shorten(text_of(single_line(entry.name)), 1_000, 44),
        event=shorten(text_of(single_line(event)), 1_000, 26),
        verse=fit_verse(entry.text, entry.prompt, x=100, y=110, width=1_000, height=390),
        style=style(),
    )


def fit_verse(text: str, prompt: str, *, x: float, y: float, width: float, height: float) -> FittedVerse:
    """Place the lines of a verse into a box, as large as they fit; lines that are too long continue below, indented.

    Args:
        text: the verse.
        prompt: what its model was given.
        x: of the box, pixels.
        y: of its upper edge.
        width: of the box.
        height: of the box.

    Returns:
        The lines, and the size of their letters.
    """
    poem = [(text_of(given), text_of(own)) for _, given, own in verse_lines(text, prompt)]
    size = min(46.0, height / LEADING)
    while True:
        parts = [part for given, own in poem for part in _wrap(given, own, width / size)]
        if len(parts) * LEADING * size <= height or size <= SMALLEST:
            break
        size *= 0.96
    top = y + (height - len(parts) * LEADING * size) / 2
    lines = []
    for number, (indent, given, own) in enumerate(parts):
        is_rtl = is_right_to_left(given + own)
        start = x + width - indent * size if is_rtl else x + indent * size
        lines.append(Line(start, top + (number + 0.78) * LEADING * size, given, own, is_rtl))
    return FittedVerse(size, lines)


def _wrap(given: str, own: str, room: float) -> list[tuple[float, str, str]]:
    """Cut a line into parts that are no wider than `room` sizes; parts after the first are indented."""
    whole, start = given + own, 0
    parts: list[tuple[float, str, str]] = []
    while True:
        indent = INDENT if parts else 0.0
        end = start
        used = indent
        while end < len(whole) and (used := used + width_of(whole[end])) <= room:
            end += 1
        end = max(end, start + 1)
        if end < len(whole):
            space = whole.rfind(" ", start + 1, end + 1)
            end = space if space > start else end
            while end < len(whole) and unicodedata.combining(whole[end]):
                end += 1
        parts.append((indent, whole[start : min(end, len(given))], whole[max(start, len(given)) : end]))
        start = end + (1 if whole[end : end + 1] == " " else 0)
        if start >= len(whole):
            return parts


def width_of(character: str) -> float:
    """Return the width of a character in sizes, estimated on the large side."""
    if unicodedata.combining(character) or character in "\u200d\ufe0f":
        return 0.0
    if unicodedata.east_asian_width(character) in "WF" or ord(character) >= 0x2600:
        return WIDE
    if character in "MWmw@%&\u2014\u2026" or character.isupper():
        return CAPITAL
    return NARROW if character in " iljtfr.,;:!'|" else USUAL


def shorten(text: str, width: float, size: float) -> str:
    """Return a text, cut with an ellipsis where it would be wider.

    Args:
        text: one line.
        width: pixels.
        size: of its letters, in pixels.
    """
    room, used = width / size, 0.0
    for index, character in enumerate(text):
        used += width_of(character)
        if used > room:
            return text[: max(0, index - 2)].rstrip() + "…"
    return text


def is_right_to_left(line: str) -> bool:
    """Whether the first letter of a line belongs to a script that runs from right to left."""
    kinds = (unicodedata.bidirectional(character) for character in line)
    return next((kind for kind in kinds if kind in ("L", "R", "AL")), "L") != "L"


def text_of(text: str) -> str:
    """Return a text with U+FFFD for what XML cannot hold."""
    return FORBIDDEN.sub("\ufffd", text)


@functools.cache
def style() -> Markup:
    """Return the style of the pictures, which holds the typeface."""
    data = base64.b64encode((STATIC / "garamond-regular.woff2").read_bytes()).decode()
    source = f"url(data:font/woff2;base64,{data})"
    return Markup(f'@font-face {{ font-family: "Garamond Verse"; src: {source} format("woff2"); }}')


@functools.cache
def picture_policy() -> str:
    """Return the content security policy of a picture: a document with this style and typeface, which runs nothing."""
    digest = base64.b64encode(hashlib.sha256(style().encode()).digest()).decode()
    return (
        f"default-src 'none'; style-src 'sha256-{digest}'; font-src data:; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'; sandbox"
    )
