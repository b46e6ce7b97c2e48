"""Text for people at a terminal: numbers with nouns, wrapped lines, commands that can be pasted."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import textwrap
from collections.abc import Sequence


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


def wrap(text: str) -> str:
    """Break lines at the width of the terminal; leave them as they are where output is not a terminal."""
    if not sys.stdout.isatty():
        return text
    columns = shutil.get_terminal_size().columns
    lines = (textwrap.wrap(line, columns, break_long_words=False, break_on_hyphens=False) for line in text.split("\n"))
    return "\n".join("\n".join(line) for line in lines)


def shell_join(words: Sequence[str], windows: bool = os.name == "nt") -> str:
    """Quote a command for PowerShell on Windows and for a POSIX shell elsewhere.

    >>> print(shell_join(["--prompt", "the moon's"]))
    --prompt 'the moon'"'"'s'
    >>> print(shell_join(["--prompt", "the moon's"], windows=True))
    --prompt 'the moon''s'
    """
    if not windows:
        return shlex.join(words)
    return " ".join(word if shlex.quote(word) == word else f"'{word.replace(chr(39), 2 * chr(39))}'" for word in words)
