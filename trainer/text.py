"""Words for people at a terminal: numbers with their nouns, lines that fit, commands that can be pasted."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import textwrap
from collections.abc import Sequence

LONGEST = 1_000  # characters of a text from elsewhere


def counted(number: int, one: str, many: str = "") -> str:
    """A number and what is counted.

    >>> counted(1, "layer"), counted(2500, "step"), counted(2, "process", "processes")
    ('1 layer', '2,500 steps', '2 processes')
    """
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def wrapped(text: str) -> str:
    """The same words, in lines that fit the terminal; where output is no terminal, as they are."""
    if not sys.stdout.isatty():
        return text
    columns = shutil.get_terminal_size().columns
    lines = (textwrap.wrap(line, columns, break_long_words=False, break_on_hyphens=False) for line in text.split("\n"))
    return "\n".join("\n".join(line) for line in lines)


def pasted(words: Sequence[str], windows: bool = os.name == "nt") -> str:
    """A command as one types it: for PowerShell on Windows, for a POSIX shell elsewhere.

    >>> print(pasted(["--prompt", "the moon's"]))
    --prompt 'the moon'"'"'s'
    >>> print(pasted(["--prompt", "the moon's"], windows=True))
    --prompt 'the moon''s'
    """
    if not windows:
        return shlex.join(words)
    return " ".join(word if shlex.quote(word) == word else f"'{word.replace(chr(39), 2 * chr(39))}'" for word in words)


def plain(text: str) -> str:
    """Text from elsewhere, for a terminal: on one line, without what would steer it."""
    return "".join(c if c.isprintable() else " " if c == "\n" else "\ufffd" for c in text)[:LONGEST]
