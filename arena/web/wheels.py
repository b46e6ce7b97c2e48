"""Packages for guests, from a folder that the organizer filled at home: a simple index, as `pip` reads it (PEP 503).

Only files that lie in the folder itself, and are named like a package, are listed and sent. An address is compared with
this list, and never used as a path.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from flask import Blueprint, abort, render_template, send_file
from werkzeug.wrappers import Response

from arena.settings import SettingsError
from arena.web.context import get_context

wheels = Blueprint("wheels", __name__, url_prefix="/wheels")

PROJECT = "verse-arena"
WHEEL = re.compile(r"([A-Za-z0-9](?:[A-Za-z0-9._]*[A-Za-z0-9])?)(?:-[A-Za-z0-9._!+]+){4,5}\.whl")
SOURCE = re.compile(r"([A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)-[0-9][A-Za-z0-9._!+]*\.(?:tar\.gz|zip)")


@wheels.get("/")
def index() -> str:
    """List the projects."""
    names = sorted({project for project, _ in _packages()})
    return render_template("wheels.html", links=[(f"{name}/", name) for name in names])


@wheels.get("/<project>/")
def files(project: str) -> str:
    """List the files of a project."""
    names = sorted(path.name for name, path in _packages() if name == normalize(project))
    if not names:
        abort(404)
    return render_template("wheels.html", links=[(f"../files/{name}", name) for name in names])


@wheels.get("/files/<name>")
def file(name: str) -> Response:
    """Send a file."""
    path = next((path for _, path in _packages() if path.name == name), None)
    if path is None:
        abort(404)
    return send_file(path, mimetype="application/octet-stream", as_attachment=True, download_name=path.name)


def normalize(name: str) -> str:
    """Return a project's name as indexes write it.

    >>> normalize("Verse_Arena")
    'verse-arena'
    """
    return re.sub(r"[-_.]+", "-", name).lower()


def list_packages(folder: Path) -> list[tuple[str, Path]]:
    """List the packages in a folder: each with the name of its project. Links and other folders are left out."""
    return list(_scan(folder))


def check_wheels(folder: Path) -> None:
    """Check that a folder holds packages.

    Raises:
        SettingsError: It does not.
    """
    if not folder.is_dir() or not list_packages(folder):
        raise SettingsError(
            f"{folder} holds no packages: fill it with `pip wheel -w {folder} '.[train]'` in a clone of the project"
        )


def install_line() -> str | None:
    """Return the command by which guests install the trainer from here; None if the packages are not here."""
    ctx = get_context()
    if ctx.settings.wheels is None:
        return None
    projects = {project for project, _ in _packages()}
    if PROJECT not in projects:
        return None
    package = f'"{PROJECT}[train]"' if "torch" in projects else PROJECT
    parts = urlsplit(ctx.base_url)
    trusted = f" --trusted-host {parts.hostname}" if parts.scheme == "http" else ""
    return f"python -m pip install --index-url {ctx.base_url}/wheels/{trusted} {package}"


def _packages() -> list[tuple[str, Path]]:
    folder = get_context().settings.wheels
    if folder is None:
        abort(404)
    return list_packages(folder)


def _scan(folder: Path) -> Iterator[tuple[str, Path]]:
    try:
        paths = sorted(folder.iterdir())
    except OSError:  # the stick with the folder was taken out
        return
    for path in paths:
        found = WHEEL.fullmatch(path.name) or SOURCE.fullmatch(path.name)
        if found and path.is_file() and not path.is_symlink():
            yield normalize(found[1]), path
