"""Imports: which package may import which, and what an import loads."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
VERSE_NEEDS = {"numpy", "safetensors", "threadpoolctl"}


def modules(package: str) -> dict[str, Path]:
    """Dotted name of every module of a package, and its file."""
    paths = {}
    for path in sorted((ROOT / package).rglob("*.py")):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        paths[name.removesuffix(".__init__")] = path
    return paths


def imports(path: Path) -> Iterator[str]:
    """Every module a file imports, in functions too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 and node.module, f"{path}: imports are written in full here"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def within(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


def test_the_verse_needs_numpy_and_itself_only() -> None:
    found = {target for path in modules("trainer/verse").values() for target in imports(path)}
    outside = {target for target in found if not within(target, "trainer.verse")}
    assert {target.split(".")[0] for target in outside} - sys.stdlib_module_names <= VERSE_NEEDS


def test_posix_only_modules_are_imported_under_guard() -> None:
    """`resource`, `fcntl` and the like stand inside an `if`, `try` or function, never bare at the top."""
    for package in ("trainer", "arena"):
        for name, path in modules(package).items():
            top = ast.Module([n for n in ast.parse(path.read_text("utf-8")).body if isinstance(n, ast.Import)], [])
            bare = {alias.name for node in top.body if isinstance(node, ast.Import) for alias in node.names}
            assert not bare & {"resource", "fcntl", "pwd", "grp", "termios", "tty"}, name


def run(code: str) -> str:
    completed = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (completed.returncode, completed.stderr) == (0, "")
    return completed.stdout.strip()


def test_importing_the_arena_and_the_verse_loads_no_torch_and_does_nothing() -> None:
    names = [*modules("arena"), *modules("trainer/verse")]
    names = [name for name in names if not name.startswith("arena.store.migrations.")]  # scripts that Alembic executes
    assert {"arena.cli", "arena.verification.runner", "trainer.verse.replay"} <= set(names)
    code = f"import sys, threading, {', '.join(names)}; print('torch' in sys.modules, threading.active_count())"
    assert run(code) == "False 1"


@pytest.mark.parametrize(("module", "group"), [("arena.cli", "main"), ("trainer.cli", "cli")])
def test_help_of_every_command_loads_neither_numpy_nor_torch(module: str, group: str) -> None:
    code = f"""
import io, sys
from contextlib import redirect_stdout
from {module} import {group} as group
def helps(command, path):
    with redirect_stdout(io.StringIO()) as text:
        group([*path, "--help"], standalone_mode=False)
    assert "Usage:" in text.getvalue()
    for name, child in getattr(command, "commands", {{}}).items():
        helps(child, [*path, name])
helps(group, [])
print(sorted({{"numpy", "torch", "matplotlib", "tokenizers"}} & set(sys.modules)))
"""
    assert run(code) == "[]"


@pytest.mark.parametrize("module", ["arena.bootstrap", "arena.worker", "arena.web.app", "arena.server.server"])
def test_no_process_of_a_server_starts_with_what_few_events_need(module: str) -> None:
    slow = {"numpy", "alembic", "matplotlib", "torch"}
    assert run(f"import sys, {module}; print(sorted({slow} & set(sys.modules)))") == "[]"
