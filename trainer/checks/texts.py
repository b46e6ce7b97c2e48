"""Texts that entries are compared with, from files."""

from __future__ import annotations

import importlib.resources
from pathlib import Path

from trainer.checks.entry import Text
from trainer.verse.characters import clean

CHECKOUT = Path(__file__).resolve().parents[2]
INCLUDED = ("folio", "haiku", "names")  # corpora that come along
REFERENCE = "folio.verse"  # a model that comes along; data/README.md says how it was trained


def included_corpora() -> list[tuple[str, Path]]:
    """Return the names and the files of the corpora that come along, in the wheel or in the checkout."""
    return [(name, path) for name in INCLUDED if (path := _included(f"{name}.txt"))]


def reference_bundle() -> Path | None:
    """Return the bundle of the reference model; None if it is not installed."""
    return _included(REFERENCE)


def _included(name: str) -> Path | None:
    folders = (Path(str(importlib.resources.files("trainer"))), CHECKOUT)
    return next((path for folder in folders if (path := folder / "data" / name).is_file()), None)


def read_text(name: str, path: Path) -> Text:
    """Read a text as the trainer cleans it. Bytes that are not UTF-8 become U+FFFD.

    Raises:
        OSError: It cannot be read.
    """
    return Text(name, clean(path.read_bytes().decode("utf-8-sig", errors="replace").rstrip("\x1a")).text)
