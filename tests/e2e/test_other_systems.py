"""Windows and macOS, simulated: a console of 256 characters, no POSIX modules, no fork, no terminal codes."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from arena.services.queries import list_entries
from tests.support.evening import VERIFIED_WITHIN, Evening
from tests.support.server import ARENA, ROOT, ArenaServer, within
from tests.support.training_runs import SMALL, command

pytestmark = pytest.mark.slow
GREEK = "Το φεγγάρι ήταν παλιό και “κρύο” — naïve ☾\n"  # of which cp1252 has the quotes, the dash and naïve
WINDOWS = {
    "PYTHONPATH": os.pathsep.join(map(str, (ROOT / "tests" / "support" / "windows", ROOT))),
    "PYTHONIOENCODING": "cp1252",
    "PYTHONUTF8": "0",
    "PYTHONWARNDEFAULTENCODING": "1",
    "TERM": "dumb",
    "OMP_NUM_THREADS": "1",
}


def run(words: list[str], folder: Path, status: int = 0) -> str:
    """Run a command there; what it printed, which must fit its console."""
    ran = subprocess.run(words, cwd=folder, env=os.environ | WINDOWS, capture_output=True, check=False)
    out = (ran.stdout + ran.stderr).decode("cp1252")
    assert ran.returncode == status, out
    assert "Traceback" not in out and "\x1b" not in out
    return out


def trainer(folder: Path, *words: str) -> str:
    return run(command(*words), folder)


def arena(folder: Path, *words: str) -> str:
    return run([*ARENA, *words], folder)


def test_a_verse_is_trained_submitted_and_verified_where_the_console_has_256_characters(tmp_path: Path) -> None:
    (tmp_path / "own.txt").write_text(GREEK * 60, encoding="utf-8")
    out = trainer(tmp_path, "train", "--corpus", "own.txt", "--steps", "20", *SMALL, "--out", "mine")
    assert "best checkpoint" in out
    out = trainer(tmp_path, "generate", "--ckpt", "mine", "--prompt", "φ“naïve”", "--tokens", "20")
    assert "“naïve”" in out and "φ" not in out, "what the console lacks is replaced"
    trainer(tmp_path, "audition", "--ckpt", "mine", "--count", "6", "--tokens", "20")
    trainer(tmp_path, "audition", "--ckpt", "mine", "--count", "6", "--tokens", "20", "--html", "a.html")
    trainer(tmp_path, "submit", "--ckpt", "mine", "--tokens", "20", "--temperature", "0", "--out", "a.verse")
    for words in (("info", "mine"), ("info", "a.verse"), ("plot", "mine"), ("corpus", "list")):
        trainer(tmp_path, *words)
    assert arena(tmp_path, "verify", "a.verse").startswith("PASS")
    arena(tmp_path, "verify", "--json", "a.verse")


def test_an_event_is_served_where_there_is_no_posix(tmp_path: Path) -> None:
    (tmp_path / "own.txt").write_text(GREEK * 60, encoding="utf-8")
    trainer(tmp_path, "train", "--corpus", "own.txt", "--steps", "20", *SMALL, "--out", "mine")
    arena(tmp_path, "init", "event", "--name", "Évening “Ωλ”")
    evening = Evening(tmp_path / "event", now=None)
    server = ArenaServer(evening.folder, variables=WINDOWS, encoding="cp1252")
    evening.server = server
    try:
        there = ("--dir", str(evening.folder))
        arena(tmp_path, "event", "open", *there)
        trainer(
            tmp_path,
            *("submit", "--ckpt", "mine", "--tokens", "20", "--temperature", "0"),
            *("--to", evening.url, "--name", "Ωλένη", "--out", "b.verse", "--ticket-file", "mine.ticket"),
        )
        assert within(VERIFIED_WITHIN, lambda: [e.state for e in list_entries(evening.db)] == ["verified"]), (
            server.lines
        )
        for words in (
            ("event", "show"),
            ("entry", "list"),
            ("bracket", "show"),
            ("event", "address"),
            ("event", "clock"),
        ):
            arena(tmp_path, *words, *there)
        arena(tmp_path, "backup", "copy", *there)
        names = [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")]
        assert len({name.casefold() for name in names}) == len(names), "no two names that some disks take for one"
    finally:
        evening.end()
    assert not [line for line in server.lines if "Traceback" in line or "EncodingWarning" in line], server.output


def test_every_command_has_a_help_that_such_a_console_shows(tmp_path: Path) -> None:
    code = """
from contextlib import suppress
from {module} import {group} as group
def helps(command, path):
    group([*path, "--help"], standalone_mode=False)
    for name, child in getattr(command, "commands", {{}}).items():
        helps(child, [*path, name])
helps(group, [])
"""
    import sys

    for module, group in (("arena.cli", "main"), ("trainer.cli", "cli")):
        assert "Usage:" in run([sys.executable, "-c", code.format(module=module, group=group)], tmp_path)
