"""Template filters for verses, names, numbers and times. The templates escape their results."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import segno
from markupsafe import Markup

from arena.web.translation import format_number, get_text, translate
from trainer.verse.characters import cut
from trainer.verse.text import replace_controls

SPEAKER = re.compile(r"[A-Z][A-Z .'\-]{1,40}:")  # a line that names the speaker of a play

# The stage: sizes of a verse, 100 for a hundredth of the screen's width, one CSS class each, largest first.
SHORT = 24  # characters of a first line that is followed by the second
STAGE_SIZES = (320, 290, 265, 240, 220, 200, 180, 160, 140, 120)
PAIR = (44.5, 28.0)  # hundredths of the screen's width that one of two verses may be wide, and high, on a 16:9 screen
ALONE = (84.0, 24.0)  # the same for the champion's verse
WHOLE_LINES_FROM = 180  # from this size on, prefer smaller letters to a line that wraps
LETTER = 0.45  # of the size: the mean width of a letter in the widest of the serifs used
LEADING = 1.42  # of the size: the height of a line


def verse_lines(text: str, prompt: str = "") -> Iterator[tuple[str, str, str]]:
    """Split a verse and its prompt into lines, as one poem.

    Args:
        text: the verse.
        prompt: what the model was given to continue.

    Yields:
        The CSS class of a line, the part of it that belongs to the prompt, and the rest.

    >>> list(verse_lines("NET:\\nI boiled him.", "HOB"))
    [('who', 'HOB', 'NET:'), ('', '', 'I boiled him.')]
    """
    lines = (prompt + text).split("\n")
    given = [len(line) for line in prompt.split("\n")] if prompt else []
    given += [0] * (len(lines) - len(given))  # characters of each line that belong to the prompt
    first = next((index for index, line in enumerate(lines) if line.strip()), len(lines))
    last = next((index for index, line in reversed([*enumerate(lines)]) if line.strip()), -1)
    for line, length in zip(lines[first : last + 1], given[first : last + 1], strict=True):
        kind = "gap" if not line.strip() else "who" if SPEAKER.fullmatch(line.strip()) else ""
        yield (kind, "", "") if kind == "gap" else (kind, line[:length], line[length:])


def first_words(text: str, prompt: str = "", length: int = 40) -> str:
    """Return the first words of a verse, its title while the author is secret.

    >>> first_words("HOBNET:\\nI boiled him. It is the custom", length=20)
    'I boiled him. It is…'
    >>> first_words("The moon is up,\\nAnd all the house asleep", length=30)
    'The moon is up, / And all the…'
    """
    spoken = [(given + own).strip() for kind, given, own in verse_lines(text, prompt) if kind == ""] or [text.strip()]
    line = single_line(spoken[0])
    if len(line) < SHORT and len(spoken) > 1:  # often the prompt alone, which others have, too
        line = f"{line} / {single_line(spoken[1])}"
    if len(line) <= length:
        return line
    words = cut(line, length - 1).rstrip()
    if " " in words and not line[length - 1 : length].isspace():
        words = words.rsplit(" ", 1)[0]
    return words.rstrip(" ,;:-") + "…"


def single_line(text: str) -> str:
    """Replace line feeds and control characters by U+FFFD."""
    return replace_controls(text).replace("\n", "\ufffd")


def stage_size(texts: Sequence[str], room: tuple[float, float] = PAIR) -> int:
    """Return the largest size of `STAGE_SIZES` in which all verses fit; one size for all is fair.

    Args:
        texts: the verses, each behind its prompt.
        room: width and height of each, in hundredths of the screen's width.

    Returns:
        One of `STAGE_SIZES`.
    """
    width, high = room

    def height(text: str, size: float) -> float:
        letters = width / (LETTER * size)  # of a line
        parts = [0.8 if kind == "gap" else max(1, math.ceil(len(own) / letters)) for kind, _, own in verse_lines(text)]
        return sum(parts) * LEADING * size

    fitting = [size for size in STAGE_SIZES if all(height(text, size / 100) <= high for text in texts)]
    longest = max((len(own) for text in texts for _, _, own in verse_lines(text)), default=0)
    whole = [size for size in fitting if longest * LETTER * size / 100 <= width and size >= WHOLE_LINES_FROM]
    return (whole or fitting or STAGE_SIZES[-1:])[0]


def duration(seconds: float) -> str:
    """Return the remaining time as the countdown in arena.js writes it.

    >>> duration(75), duration(0), duration(7200)
    ('1:15', '0:00', '2 hours')
    """
    if seconds >= 5_400:
        return get_text("{hours} hours").format(hours=round(seconds / 3_600))
    whole = max(0, int(seconds))
    return f"{whole // 60}:{whole % 60:02d}"


def iso_time(seconds: float) -> str:
    """Return a time in UTC, by ISO 8601."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def clock_time(seconds: float) -> str:
    """Return a time on the clock of the server's machine, which is the organizer's."""
    return datetime.fromtimestamp(seconds).strftime("%H:%M:%S")


def qr(text: str, label: str = "QR code of the address") -> Markup:
    """Return a QR code as SVG markup, without inline style, which the content security policy forbids.

    In capitals, which mean the same in a scheme and a host, a code has fewer and larger squares: the last row reads it.
    Segno raises the level of error correction as far as that costs no square.

    Args:
        text: what a phone reads.
        label: what a screen reader says.
    """
    scheme, _, host = text.partition("://")
    if host and re.fullmatch(r"[A-Za-z0-9.:\-]+", host):
        text = f"{scheme}://{host}".upper()
    code = segno.make(text, error="l", micro=False)
    svg = code.svg_inline(border=4, scale=1, omitsize=True, dark="#000", light="#fff", svgclass="qr", lineclass=None)
    return Markup(svg.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1))


def in_groups(digits: str) -> list[str]:
    """Split the digits of a hash into lines of four groups of four, which can be compared by eye.

    >>> in_groups("0123456789abcdef" * 2)
    ['0123 4567 89ab cdef', '0123 4567 89ab cdef']
    """
    groups = [digits[start : start + 4] for start in range(0, len(digits), 4)]
    return [" ".join(groups[start : start + 4]) for start in range(0, len(groups), 4)]


def head_code(number: int, digest: str) -> str:
    """Return what the QR code of the log's head says, in the characters that make the smallest code."""
    return f"VERSE-LOG {number} {digest.upper()}"


def megabytes(size: int) -> str:
    """Return a number of bytes in KB or MB, as the scripts write it.

    >>> megabytes(1_688_000), megabytes(21_500_000), megabytes(61_200)
    ('1.7 MB', '22 MB', '62 KB')
    """
    if size < 100_000:
        return f"{math.ceil(size / 1_000)} KB"
    return f"{format_number(size / 1e6, decimals=1 if size < 1e7 else 0)} MB"


def sentence(message: object) -> str:
    """Return an error, or its message, as a sentence in the page's language, with a capital letter and a full stop.

    >>> sentence("this match is closed")
    'This match is closed.'
    """
    text = translate(message)
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")
