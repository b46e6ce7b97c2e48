"""Collects the sentences of the code, and brings the catalogs of translations up to date: `make translations`.

A sentence of code that was changed is marked as fuzzy in each catalog, and a new one is empty: a test fails until
somebody has translated it.
"""

from __future__ import annotations

import io
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import DEFAULT_KEYWORDS, extract_from_dir
from babel.messages.pofile import write_po

from arena.settings import LANGUAGES
from arena.web.translation import SOURCE, catalog_file, read_catalog

ARENA = Path(__file__).parents[1]
METHODS = [("**.py", "python"), ("web/templates/**", "jinja2"), ("web/static/**.js", "javascript")]
OPTIONS = {
    "web/templates/**": {
        "extensions": "jinja2.ext.i18n",
        "newstyle_gettext": "true",
        "trim_blocks": "true",
        "lstrip_blocks": "true",
    }
}
KEYWORDS = {**DEFAULT_KEYWORDS, "phrase": None, "counted": (1, 2), "get_text": None, "t": None}
TARGETS = [code for code in LANGUAGES if code != SOURCE]


def extract() -> Catalog:
    """Return the sentences of the code."""
    catalog = Catalog(fuzzy=False)
    found = extract_from_dir(ARENA, METHODS, OPTIONS, KEYWORDS, strip_comment_tags=True)
    for name, _, message, comments, context in sorted(found, key=lambda one: (one[0], one[1])):
        path = f"arena/{Path(name).as_posix()}"
        catalog.add(message, None, [(path, None)], auto_comments=comments, context=context)  # type: ignore[list-item]
    return catalog


def updated(code: str) -> str:
    """Return the catalog of a language with the sentences that the code has now."""
    read_catalog.cache_clear()
    catalog = read_catalog(code)
    catalog.update(extract(), update_creation_date=False)
    catalog.obsolete.clear()
    read_catalog.cache_clear()
    file = io.BytesIO()
    write_po(file, catalog, width=0, include_lineno=False)
    return file.getvalue().decode()


if __name__ == "__main__":
    for code in TARGETS:
        catalog_file(code).write_text(updated(code), encoding="utf-8", newline="\n")
