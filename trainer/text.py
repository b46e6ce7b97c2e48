"""Text for people at a terminal: numbers with nouns, wrapped lines, commands that can be pasted."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import textwrap
from collections.abc import Sequence

from trainer.verse.text import escape, pluralize

__all__ = ["pluralize", "shell_join", "wrap"]


def wrap(text: str) -> str:
    """Break lines at the width of the terminal; leave them as they are where output is not a terminal."""
    if not sys.stdout.isatty():
        return text
    columns = shutil.get_terminal_size().columns
    lines = (textwrap.wrap(line, columns, break_long_words=False, break_on_hyphens=False) for line in text.split("\n"))
    return "\n".join("\n".join(line) for line in lines)


def shell_join(words: Sequence[str], windows: bool = os.name == "nt") -> str:
    """Quote a command for PowerShell on Windows and for a POSIX shell elsewhere; nothing in it steers a terminal.

    >>> print(shell_join(["--prompt", "the moon's"]))
    --prompt 'the moon'"'"'s'
    >>> print(shell_join(["--prompt", "the moon's"], windows=True))
    --prompt 'the moon''s'
    """
    return " ".join(_quote(word, windows) for word in words)


def _quote(word: str, windows: bool) -> str:
    if unprintable := {character for character in word if not (character.isprintable() or character == "\n")}:
        for character in unprintable:  # bash and zsh read $'\x1b'; PowerShell shows where such a character was
            word = word.replace(character, escape(character))
        return f"'{word}'" if windows else "$'" + word.replace("'", "\\'") + "'"
    if not windows:
        return shlex.quote(word)
    return word if shlex.quote(word) == word else f"'{word.replace(chr(39), 2 * chr(39))}'"
