"""`arena init` and `serve` on the disks that people have: shared folders, no permissions, no log, an interruption."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from arena.bootstrap import open_event
from arena.cli import main
from arena.server import server
from arena.services import events
from arena.settings import DATABASE_FILE, SECRETS_FILE, SETTINGS_FILE, load_settings
from tests.support.evening import Evening

POSIX = pytest.mark.skipif(os.name != "posix", reason="file modes of POSIX")


def arena(*words: object) -> Result:
    result = CliRunner().invoke(main, list(map(str, words)), prog_name="arena")
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@POSIX
@pytest.mark.parametrize("umask", [0o022, 0])
def test_an_event_in_a_folder_that_others_can_read_keeps_its_files_private(tmp_path: Path, umask: int) -> None:
    folder = tmp_path / "event"
    folder.mkdir(mode=0o755)
    before = os.umask(umask)
    try:
        assert arena("init", folder).exit_code == 0
        assert arena("event", "open", "--dir", folder).exit_code == 0
        evening = Evening(folder)  # with its write-ahead log
        try:
            files = [path for path in folder.iterdir() if path.is_file() and path.name != SETTINGS_FILE]
            assert {DATABASE_FILE, SECRETS_FILE} <= {path.name for path in files}
            assert {path.name: mode(path) for path in files} == {path.name: 0o600 for path in files}
            assert mode(folder / "bundles") == mode(folder / "incoming") == 0o700
        finally:
            evening.end()
    finally:
        os.umask(before)


@POSIX
def test_on_a_disk_without_permissions_everything_works_with_a_warning_that_says_what_it_means(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on WSL's /mnt/c and on exFAT: every file is 0777, and chmod does nothing."""
    look = Path.stat

    def wide(self: Path, **options: bool) -> os.stat_result:
        seen = look(self, **options)
        return os.stat_result((seen.st_mode | 0o777, *tuple(seen)[1:]))

    monkeypatch.setattr(Path, "stat", wide)
    monkeypatch.setattr(os, "chmod", lambda *arguments, **options: None)
    folder = tmp_path / "event"
    for words in (("init", folder), ("event", "show", "--dir", folder)):
        result = arena(*words)
        assert result.exit_code == 0, result.output
    served = []
    monkeypatch.setattr(server, "serve", lambda settings, **options: served.append(settings))
    result = arena("serve", "--dir", folder)
    assert result.exit_code == 0 and served
    assert "warning: other users of this computer can read secrets.json" in result.output
    assert "its disk keeps no permissions" in result.output and "chmod" not in result.output


@POSIX
def test_a_database_that_others_can_read_is_named_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "event"
    arena("init", folder)
    (folder / DATABASE_FILE).chmod(0o644)
    assert arena("event", "show", "--dir", folder).exit_code == 0  # nobody else gets into the folder
    folder.chmod(0o755)
    monkeypatch.setattr(server, "serve", lambda settings, **options: None)
    assert f"run `chmod 600 {folder / DATABASE_FILE}`" in arena("serve", "--dir", folder).output
    (folder / DATABASE_FILE).chmod(0o600)
    assert arena("serve", "--dir", folder).output == ""
    settings = json.loads((folder / SETTINGS_FILE).read_text())
    address = "postgresql://arena:password@127.0.0.1/verses"
    (folder / SETTINGS_FILE).write_text(json.dumps({**settings, "database_url": address}))
    assert f"run `chmod 600 {folder / SETTINGS_FILE}`" in arena("serve", "--dir", folder).output


class Stopped(BaseException):
    """The process is killed here."""


@pytest.mark.parametrize(
    "place", ["arena.settings.write_new", "arena.settings.write_atomically", "arena.bootstrap.open_event"]
)
@pytest.mark.parametrize("moment", ["before", "after"])
def test_an_init_that_was_interrupted_is_taken_up_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, moment: str
) -> None:
    from importlib import import_module

    module, _, name = place.rpartition(".")
    real = getattr(import_module(module), name)

    def stopped(*arguments: object, **options: object) -> object:
        if moment == "after":
            real(*arguments, **options)
        raise Stopped

    folder = tmp_path / "event"
    with monkeypatch.context() as patch, pytest.raises(Stopped):
        patch.setattr(place, stopped)
        CliRunner().invoke(main, ["init", str(folder)], catch_exceptions=False)
    if (folder / SETTINGS_FILE).exists():
        assert "run `arena init` first" in arena("event", "show", "--dir", folder).output
    secrets = (folder / SECRETS_FILE).read_bytes() if (folder / SECRETS_FILE).exists() else None
    result = arena("init", folder, "--name", "The second try")
    assert result.exit_code == 0, result.output
    assert secrets in (None, (folder / SECRETS_FILE).read_bytes())
    event = open_event(load_settings(folder))
    assert events.current_event(event.db).name == load_settings(folder).name == "The second try"
    event.close()
    assert not list(folder.glob(".*.part"))
    assert "holds an event already" in arena("init", folder).output  # a whole one is never written over
    (folder / SETTINGS_FILE).unlink()
    assert "put that back" in arena("init", folder).output


@POSIX
def test_a_disk_that_keeps_no_write_ahead_log_is_refused_at_init(tmp_path: Path) -> None:
    """With locks by files beside it, as for network drives, SQLite answers "delete" to a wish for WAL, and goes on."""
    address = f"sqlite:///file:{tmp_path}/verses?vfs=unix-dotfile&uri=true"
    result = arena("init", tmp_path / "event", "--database-url", address)
    assert result.exit_code == 1
    assert result.output.count("\n") == 1
    assert "write-ahead log (its mode stays delete)" in result.output and "on a disk of this computer" in result.output
    assert arena("init", tmp_path / "event").exit_code == 0


@POSIX
def test_the_name_of_a_folder_cannot_steer_the_terminal(tmp_path: Path) -> None:
    folder = tmp_path / "\x1b]0;owned\x07 \u202e event"
    for words in (
        ("init", folder),
        ("init", folder),
        ("event", "show", "--dir", f"{folder}none"),
        ("serve", "--dir", f"{folder}none"),
        ("event", "open", "--dir", folder),
        ("verify", folder / "none"),
        ("backup", f"{folder}copy", "--dir", folder),
        ("restore", f"{folder}copy", "--dir", f"{folder}again"),
        ("restore", f"{folder}none", "--dir", f"{folder}third"),
        ("event", "show", "--dir", folder / SETTINGS_FILE),
        ("serve", f"--{folder}"),
        ("match", "close", str(folder), "--dir", folder),
        (folder,),
    ):
        output = arena(*words).output
        assert all(character.isprintable() or character == "\n" for character in output), (words, output)


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("Soirée\u00a0: poésie", "Soirée : poésie"),
        ("می\u200cروم", "می\u200cروم"),
        ("👨‍👩‍👧" * 16, "👨‍👩‍👧" * 16),
        ("月" * 80, "月" * 80),
        ("<b>&amp;</b> \"'", "<b>&amp;</b> \"'"),
        ("--name", "--name"),
        ("Cafe\u0301\u200b", "Café"),
    ],
)
def test_an_event_may_have_any_name_that_can_be_seen(tmp_path: Path, name: str, kept: str) -> None:
    assert arena("init", tmp_path / "event", f"--name={name}").exit_code == 0
    assert load_settings(tmp_path / "event").name == kept
    result = arena("event", "open", "--dir", tmp_path / "event")
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize(
    "name", ["a" * 81, "An\nevening", "An\u2028evening", "  ", "\u200b", "\u3164", "e" + "\u0301" * 9, "\x1b[2J"]
)
def test_other_names_are_refused_in_one_line_and_nothing_is_made(tmp_path: Path, name: str) -> None:
    result = arena("init", tmp_path / "event", f"--name={name}")
    assert result.exit_code == 1
    assert result.output.startswith("Error: an event's name must have 1 to 80 characters, ")
    assert result.output.count("\n") == 1 and not (tmp_path / "event").exists()


def test_settings_saved_by_notepad_are_read(tmp_path: Path) -> None:
    arena("init", tmp_path / "event", "--name", "Soirée")
    path = tmp_path / "event" / SETTINGS_FILE
    for encoding in ("utf-8-sig", "utf-16"):
        path.write_text(path.read_text(encoding="utf-8"), encoding=encoding, newline="\r\n")
        assert load_settings(tmp_path / "event").name == "Soirée"
        path.write_text(path.read_text(encoding=encoding), encoding="utf-8")
