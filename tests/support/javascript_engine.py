"""Runs the verse engine in JavaScript on bundles and golden vectors, in Node and in Chromium.

The scripts that do it lie in the folder `javascript` beside this file.
"""

from __future__ import annotations

import base64
import json
import re
import shutil
import subprocess
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
NODE = shutil.which("node")
OLDEST = {20: 19, 22: 7}  # minor versions that take a file for a module by its syntax, by major version
TYPES = {".js": "text/javascript", ".html": "text/html"}


@cache
def why_no_node() -> str | None:
    """Why the tests cannot use Node here; None if they can."""
    if NODE is None:
        return "no node on this machine: install Debian's package nodejs"
    version = subprocess.run([NODE, "--version"], capture_output=True, text=True, check=True).stdout
    major, minor = map(int, re.findall(r"\d+", version)[:2])
    if major >= 23 or minor >= OLDEST.get(major, 1000):
        return None
    return f"node is {version.strip()}; 20.19, 22.7 or newer is needed"


needs_node = pytest.mark.skipif(why_no_node() is not None, reason=why_no_node() or "")


def in_node(task: dict[str, Any], *options: str) -> Any:
    """Carry out a task of checks.js in Node."""
    command = [str(NODE), "--no-warnings", *options, str(ROOT / "tests/support/javascript/node.js")]
    completed = subprocess.run(command, input=json.dumps(task), capture_output=True, text=True, check=False)
    assert completed.returncode == 0, completed.stderr
    return json.loads(completed.stdout)


def in_chromium(browser: Any, task: dict[str, Any]) -> Any:
    """Carry out a task of checks.js in a page of a browser."""
    context = browser.new_context()
    context.route("**/*", _answer)
    try:
        page = context.new_page()
        page.goto("http://verses.test/blank.html")
        script = "async (task) => (await import('/tests/support/javascript/checks.js')).run(task)"
        return page.evaluate(script, task)
    finally:
        context.close()


def bundles_task(bundles: Iterable[bytes]) -> dict[str, Any]:
    """The task to examine these bundles."""
    return {"bundles": [base64.b64encode(data).decode() for data in bundles]}


def _answer(route: Any) -> None:
    """Serve the scripts of this repository, without a server."""
    path = ROOT / route.request.url.removeprefix("http://verses.test/")
    data = path.read_bytes() if path.is_file() else b"<!doctype html><title>checks</title>"
    route.fulfill(body=data, content_type=TYPES.get(path.suffix, "text/html"))
