"""Folders with names that look like parts of an address or of a command: a whole evening in one."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from arena.services.queries import list_entries
from tests.support.evening import VERIFIED_WITHIN, Evening
from tests.support.server import ARENA, within
from tests.support.training_runs import SMALL, command

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.name != "posix", reason="Windows allows no such names")]
NAMES = {
    "an address in umlauts": "Äpfel Größe é́ 月 👩‍👩‍👧?b=1#c%20d%&e;f@g:h",
    "a command": ' it\'s "so" $HOME `x` *(1) \\ -n',
    "an option of 200 characters": "--dir=.. " + "long " * 37 + "named",
}


def run(words: list[str], folder: Path) -> str:
    ran = subprocess.run(words, cwd=folder, capture_output=True, text=True, encoding="utf-8", check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_a_verse_and_an_event_live_in_a_folder_of_any_name(tmp_path: Path, name: str) -> None:
    home = tmp_path / name
    home.mkdir()
    (home / "own.txt").write_text("The moon was old and cold.\n" * 60, encoding="utf-8")
    corpus, mine, bundle, copy = (str(home / part) for part in ("own.txt", "mine", "a.verse", "copy"))
    run(command("train", "--corpus", corpus, "--steps", "3", *SMALL, "--out", mine), tmp_path)
    run(command("train", "--resume", mine, "--steps", "2"), tmp_path)
    run(command("audition", "--ckpt", mine, "--count", "4", "--tokens", "20", "--html", str(home / "a.html")), tmp_path)
    verse = ("submit", "--ckpt", mine, "--tokens", "24", "--temperature", "0")
    run(command(*verse, "--out", bundle), tmp_path)
    assert run([*ARENA, "verify", bundle], tmp_path).startswith("PASS")
    run([*ARENA, "init", "--dir", str(home / "event")], tmp_path)
    evening = Evening(home / "event", now=None)
    evening.open()
    evening.serve()
    try:
        ticket = ("--ticket-file", str(home / "mine.ticket"))
        run(command(*verse, "--to", evening.url, "--name", "Ada", "--out", bundle, *ticket), tmp_path)
        assert within(VERIFIED_WITHIN, lambda: [e.state for e in list_entries(evening.db)] == ["verified"])
        run([*ARENA, "backup", copy, "--dir", str(home / "event")], tmp_path)
    finally:
        evening.end()
    run([*ARENA, "restore", copy, "--dir", str(home / "again")], tmp_path)
    assert "1 verified" in run([*ARENA, "event", "show", "--dir", str(home / "again")], tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [name], "nothing beside it, under half of its name"
