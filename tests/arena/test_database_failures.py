"""A database that cannot be used: one line at every command, and a page that says what to do."""

from __future__ import annotations

import json
import logging
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner
from sqlalchemy import event

from arena.cli import main
from arena.errors import DatabaseFull
from arena.services import queries
from arena.services.voting import cast_vote
from arena.store import unit_of_work
from tests.support.evening import Evening, secret_of
from tests.support.pages import post, vote

COMMANDS = [
    ("event", "show"),
    ("event", "open"),
    ("entry", "list"),
    ("bracket", "show"),
    ("match", "open"),
    ("serve", "--port", "0"),
    ("worker",),
]
WRITES = [("event", "open"), ("event", "closing", "--by-hand")]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "event"
    assert CliRunner().invoke(main, ["init", str(folder)]).exit_code == 0
    return folder


def refusal(folder: Path, *words: str) -> str:
    """The one line of a command that is refused."""
    result = CliRunner().invoke(main, [*words, "--dir", str(folder)], prog_name="arena")
    assert result.exit_code == 1, (words, result.output, result.exception)
    assert isinstance(result.exception, SystemExit)
    (line,) = result.output.splitlines()
    assert line.startswith("Error: ")
    return line


def use(folder: Path, url: str) -> None:
    """Name another database in settings.json."""
    settings = json.loads((folder / "settings.json").read_text())
    (folder / "settings.json").write_text(json.dumps(settings | {"database_url": url}))


@contextmanager
def locked(database: Path) -> Iterator[None]:
    """Hold the write lock of a database, as another program does."""
    other = sqlite3.connect(database, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.close()


def limit_pages(evening: Evening, pages: int | None) -> None:
    """Let the database grow by no more than so many pages; None: without a limit. It is then as on a full disk."""
    evening.db.engine.dispose()

    def set_limit(connection: sqlite3.Connection, _record: object) -> None:
        count = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {2**31 if pages is None else count + pages}")

    event.listen(evening.db.engine, "connect", set_limit)


@pytest.mark.parametrize("words", COMMANDS)
def test_a_file_that_is_not_a_database_is_named_in_one_line(folder: Path, words: tuple[str, ...]) -> None:
    (folder / "arena.sqlite3").write_bytes(b"To be, or not to be. " * 1_000)
    line = refusal(folder, *words)
    assert f"{folder / 'arena.sqlite3'} is not a database" in line and "backup" in line


def test_a_damaged_database_is_named_in_one_line(folder: Path) -> None:
    path = folder / "arena.sqlite3"
    size = path.stat().st_size
    path.write_bytes(path.read_bytes()[:100] + b"x" * (size - 100))
    assert "is damaged" in refusal(folder, "event", "show")


@pytest.mark.parametrize("words", WRITES)
def test_a_database_that_may_only_be_read_is_named_in_one_line(folder: Path, words: tuple[str, ...]) -> None:
    use(folder, f"sqlite:///file:{folder / 'arena.sqlite3'}?mode=ro&uri=true")
    assert "cannot be written" in refusal(folder, *words)
    assert CliRunner().invoke(main, ["event", "show", "--dir", str(folder)]).exit_code == 0


def test_a_database_in_a_folder_that_is_not_there_is_named_in_one_line(folder: Path) -> None:
    use(folder, f"sqlite:///{folder / 'nowhere' / 'arena.sqlite3'}")
    line = refusal(folder, "event", "show")
    assert "nowhere" in line and "`database_url` in settings.json" in line


@pytest.mark.parametrize("words", WRITES)
def test_a_database_that_another_program_keeps_locked_is_named_in_one_line(
    folder: Path, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unit_of_work, "BUSY_SECONDS", 0.05)
    with locked(folder / "arena.sqlite3"):
        assert "another program keeps the database" in refusal(folder, *words)
    assert CliRunner().invoke(main, [*words, "--dir", str(folder)]).exit_code == 0


@pytest.mark.parametrize("url", ["verses", "mysql://host/verses", "sqlite://", "sqlite:///:memory:", "postgresql"])
def test_an_address_of_no_database_is_answered_with_how_one_looks(folder: Path, url: str) -> None:
    use(folder, url)
    for words in COMMANDS:
        assert "`database_url` in settings.json must look like" in refusal(folder, *words)


def test_a_postgresql_server_that_does_not_answer_is_named_without_its_password(folder: Path) -> None:
    pytest.importorskip("psycopg", reason="psycopg is not installed: pip install 'verse-arena[postgresql]'")
    use(folder, "postgresql://arena:sesame@127.0.0.1:1/verses")
    for words in COMMANDS:
        line = refusal(folder, *words)
        assert "127.0.0.1:1/verses cannot be opened" in line and "sesame" not in line


def test_init_leaves_no_folder_if_the_database_cannot_be_opened(tmp_path: Path) -> None:
    pytest.importorskip("psycopg", reason="psycopg is not installed: pip install 'verse-arena[postgresql]'")
    words = ["init", str(tmp_path / "event"), "--database-url", "postgresql://127.0.0.1:1/verses"]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 1 and "cannot be opened" in result.output
    assert not (tmp_path / "event").exists()


def test_postgresql_without_psycopg_names_what_to_install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    use(folder, "postgresql://arena@127.0.0.1:1/verses")
    assert "pip install '.[postgresql]'" in refusal(folder, "event", "show")


def test_a_folder_may_have_any_name(tmp_path: Path) -> None:
    folder = tmp_path / "what? #1, 100% & so on"
    assert CliRunner().invoke(main, ["init", str(folder)]).exit_code == 0
    assert (folder / "arena.sqlite3").is_file()
    assert CliRunner().invoke(main, ["event", "show", "--dir", str(folder)]).exit_code == 0


def test_a_lock_file_that_is_none_is_named_in_one_line(folder: Path) -> None:
    (folder / "lock").write_bytes(b"not a lock " * 1_000)
    assert f"{folder / 'lock'} cannot be locked" in refusal(folder, "serve", "--port", "0")


def test_a_vote_on_a_full_disk_is_refused_and_none_is_half_saved(evening: Evening) -> None:
    authors = evening.create().voting()
    voted = evening.phone()
    assert vote(voted, "left").status_code == 303
    limit_pages(evening, 0)
    with pytest.raises(DatabaseFull):
        for number in range(1_000):
            cast_vote(evening.db, "r1m1", secret_of(f"voter{number}"), "left", 0, now=evening.now)
    page = vote(evening.phone(), "left")
    assert page.status_code == 507 and "The server cannot use its storage now" in page.text
    assert str(evening.folder) not in page.text
    limit_pages(evening, None)
    shown = queries.snapshot(evening.db, now=evening.now).match
    assert shown is not None and shown.votes == number + 1 and len(authors) == 4
    assert vote(evening.phone(), "left").status_code == 303


@pytest.mark.parametrize("path", ["/", "/mine", "/enter", "/results", "/stage", "/api/v1/event", "/api/v1/state"])
def test_pages_of_a_damaged_database_say_so_without_its_address(
    evening: Evening, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    evening.forged = True
    evening.begin()
    evening.db.dispose()
    for name in ("arena.sqlite3-wal", "arena.sqlite3-shm"):
        (evening.folder / name).unlink(missing_ok=True)
    (evening.folder / "arena.sqlite3").write_bytes(b"To be, or not to be. " * 1_000)
    page = evening.phone().get(path)
    assert page.status_code == 500 and "The server cannot use its storage now" in page.text
    assert str(evening.folder) not in page.text
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert f"{evening.folder / 'arena.sqlite3'} is not a database" in caplog.text


@pytest.fixture
def impatient(evening: Evening, monkeypatch: pytest.MonkeyPatch) -> Evening:
    """An event whose transactions wait a moment only for another program's."""
    monkeypatch.setattr(unit_of_work, "BUSY_SECONDS", 0.05)
    evening.db.engine.dispose()  # connections made from now on
    return evening


def test_the_console_tells_the_organizer_what_is_wrong_with_the_database(impatient: Evening) -> None:
    organizer = impatient.create().organizer()
    with locked(impatient.folder / "arena.sqlite3"):
        page = post(organizer, "/console", "/console/submissions/open", minutes="", seen="0")
        assert page.status_code == 503
        assert "Another program keeps the database" in page.text and str(impatient.folder) in page.text
    assert post(organizer, "/console", "/console/submissions/open", minutes="", seen="1").status_code == 303


def test_votes_are_taken_again_when_the_database_is_no_longer_locked(impatient: Evening) -> None:
    impatient.create().voting()
    phone = impatient.phone()
    with locked(impatient.folder / "arena.sqlite3"):
        assert vote(phone, "left").status_code == 503
    assert vote(phone, "left").status_code == 303
    shown = queries.snapshot(impatient.db, now=impatient.now).match
    assert shown is not None and shown.votes == 1
