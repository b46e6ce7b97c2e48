"""The text of a verse: where it ends, which characters it may have; and how untrusted text and numbers are shown."""

from __future__ import annotations

from collections.abc import Sequence

from trainer.verse.characters import JOINERS, clean, cut
from trainer.verse.errors import NotText
from trainer.verse.recipe import Recipe
from trainer.verse.vocabulary import Vocabulary

BIDI_CONTROLS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


class LineEnd:
    """Count complete lines while tokens are added. A line counts if it has a character other than space."""

    def __init__(self, lines: int) -> None:
        self.lines = lines  # non-empty lines of the verse, 0: no end by lines
        self.complete = 0
        self.n_characters = 0  # seen so far
        self.cut: int | None = None  # characters of the verse, once it has ended by lines
        self._has_character = False

    def push(self, token: str) -> bool:
        """Add one token; return whether the verse ends with it."""
        for character in token:
            if character == "\n":
                self.complete += self._has_character
                self._has_character = False
                if self.lines and self.complete == self.lines and self.cut is None:
                    self.cut = self.n_characters
            elif character != " ":
                self._has_character = True
            self.n_characters += 1
        return self.cut is not None


def length_of(vocabulary: Vocabulary, recipe: Recipe, ids: Sequence[int]) -> int | None:
    """Return how many of `ids` belong to the verse; None if the verse is longer.

    Args:
        vocabulary: What the tokens spell.
        recipe: Gives the limits `lines` and `tokens`.
        ids: Generated tokens.
    """
    end = LineEnd(recipe.lines)
    for count, token in enumerate(ids[: recipe.tokens], start=1):
        if end.push(vocabulary.tokens[token]) or count == recipe.tokens:
            return count
    return None


def verse_text(vocabulary: Vocabulary, recipe: Recipe, ids: Sequence[int]) -> str:
    """Return the text of a verse: that of the tokens, cut before the line feed that ends the last line.

    Args:
        vocabulary: What the tokens spell.
        recipe: Gives the number of lines.
        ids: Generated tokens.

    Raises:
        NotText: It holds a control character that no verse may have.
    """
    end = LineEnd(recipe.lines)
    for token in ids:
        end.push(vocabulary.tokens[token])
    text = vocabulary.decode(ids)[: end.cut]
    for index, character in enumerate(text):
        if is_control(character):
            raise NotText(character, index)
    return text


def replace_controls(text: str) -> str:
    """Replace every character that no verse may hold by U+FFFD."""
    return "".join("\ufffd" if is_control(character) else character for character in text)


def is_control(character: str) -> bool:
    """Whether no verse may hold this character: C0 except line feed, DEL, C1, and bidirectional controls."""
    code = ord(character)
    return (code < 0x20 and character != "\n") or 0x7F <= code <= 0x9F or character in BIDI_CONTROLS


def sanitize(text: str, max_length: int | None = None) -> str:
    r"""Escape characters of untrusted text that do not print, or that reorder other text on a terminal.

    Joiners stay where a script or an emoji needs them.

    >>> sanitize("a\x1b[2Jb")
    'a\\x1b[2Jb'

    Args:
        text: Any text.
        max_length: Most characters to return; a longer text ends in "…". None for no limit.
    """
    kept = "" if text.isprintable() else JOINERS if clean(text).text == text else ""
    escaped = "".join(c if c.isprintable() or c in kept else escape(c) for c in text)
    if max_length is None or len(escaped) <= max_length:
        return escaped
    return cut(escaped, max_length - 1) + "…"


def escape(character: str) -> str:
    """Return how Python writes a character that cannot be shown."""
    return character.encode("unicode_escape", "surrogatepass").decode()


def sanitize_lines(text: str) -> str:
    """Escape as `sanitize` does, but keep line feeds: for messages that name files or quote other people's text."""
    return "\n".join(map(sanitize, text.split("\n")))


def pluralize(number: int, singular: str, plural: str = "") -> str:
    """Return a number and its noun.

    >>> pluralize(1, "layer"), pluralize(2500, "step"), pluralize(2, "process", "processes")
    ('1 layer', '2,500 steps', '2 processes')

    Args:
        number: How many there are.
        singular: The noun for one.
        plural: The noun for any other number, if it is not the singular with an s.
    """
    return f"{number:,} {singular if number == 1 else plural or singular + 's'}"
