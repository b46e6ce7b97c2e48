"""Scripts of several modules as one file: it is fetched at once, cached for ever, and can be saved with a page.

A page is served with a digest in the address of each file; modules that import each other by name cannot have one.
"""

from __future__ import annotations

import re
from pathlib import Path

STATIC = Path(__file__).parent / "static"
ENGINE = "verse-worker.js"  # the worker that writes and checks verses
JOINED = {  # by the name under which it is served: its first module
    "check.js": STATIC / "check" / "page.js",
    "audit.js": STATIC / "audit" / "page.js",
    "champion.js": STATIC / "check" / "champion.js",
    ENGINE: STATIC / "verse" / "worker.js",
}
IMPORT = re.compile(r'^import \{ (\w+(?:, \w+)*) \} from "(\.\.?/[\w/-]+\.js)";\n', re.MULTILINE)
EXPORT = re.compile(r"^export (?=(?:async )?(?:function|class|const)\b)", re.MULTILINE)
DECLARED = re.compile(r"^(?:export )?(?:async )?(?:function\*?|class|const|let) (\w+)", re.MULTILINE)


def join_modules(first: Path) -> str:
    """Return a module and all that it imports as one script, each after those that it needs.

    The modules keep to a part of the language: imports of one line and of files by their path, without other names, and
    no name that two of them declare.

    Raises:
        ValueError: They do not keep to it.
    """
    sources: dict[Path, str] = {}
    _collect(first, sources, ())
    declared: dict[str, Path] = {}
    for path, source in sources.items():
        for name in DECLARED.findall(source):
            if name in declared:
                raise ValueError(f"{path.name} and {declared[name].name} both declare {name}")
            declared[name] = path
    body = "\n".join(EXPORT.sub("", IMPORT.sub("", source)).strip("\n") + "\n" for source in sources.values())
    if re.search(r"^(import|export)\b", body, re.MULTILINE):
        raise ValueError(f"{first.name}: an import or export of another form")
    return f'(() => {{\n"use strict";\n{body}}})();\n'


def _collect(path: Path, sources: dict[Path, str], above: tuple[Path, ...]) -> None:
    """Add a module to `sources` after those that it imports."""
    if path in above:
        raise ValueError(f"{path.name} imports itself, by way of others")
    if path in sources:
        return
    source = path.read_text(encoding="utf-8")
    for _, name in IMPORT.findall(source):
        _collect((path.parent / name).resolve(), sources, (*above, path))
    sources[path] = source
