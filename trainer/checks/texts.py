"""Texts that entries are compared with, from files."""

from __future__ import annotations

import importlib.resources
from pathlib import Path

from trainer.checks.entry import Text
from trainer.verse.characters import clean

CHECKOUT = Path(__file__).resolve().parents[2]
INCLUDED = ("folio", "haiku", "names")  # corpora that come along


def included_corpora() -> list[tuple[str, Path]]:
    """Return the names and the files of the corpora that come along, in the wheel or in the checkout."""
    found = []
    for name in INCLUDED:
        for folder in (Path(str(importlib.resources.files("trainer"))), CHECKOUT):
            path = folder / "data" / f"{name}.txt"
            if path.is_file():
                found.append((name, path))
                break
    return found


def read_text(name: str, path: Path) -> Text:
    """Read a text as the trainer cleans it. Bytes that are not UTF-8 become U+FFFD.

    Raises:
        OSError: It cannot be read.
    """
    return Text(name, clean(path.read_bytes().decode("utf-8-sig", errors="replace").rstrip("\x1a")).text)
