"""The event folder: created once, readable by its owner only, refused when a file is missing or wrong."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from arena.settings import SECRETS_FILE, SETTINGS_FILE, Settings, SettingsError, create_event_folder, load_settings

posix = pytest.mark.skipif(os.name != "posix", reason="file modes of POSIX")


def edit(path: Path, **changes: object) -> None:
    values = json.loads(path.read_text())
    values.update(changes)
    path.write_text(json.dumps(values))


def test_settings_are_loaded_as_they_were_made(tmp_path: Path) -> None:
    made = create_event_folder(tmp_path / "event", name="Dichter im Café", port=8123)
    assert load_settings(tmp_path / "event") == made
    assert (made.name, made.port, made.host) == ("Dichter im Café", 8123, "127.0.0.1")
    assert made.base_url == "http://127.0.0.1:8123"


def test_two_events_share_no_secret(tmp_path: Path) -> None:
    one, other = (create_event_folder(tmp_path / name) for name in ("one", "other"))
    for name in ("console_password", "secret_key", "receipt_key"):
        assert getattr(one, name) != getattr(other, name)


@posix
def test_secrets_are_readable_by_their_owner_only(tmp_path: Path) -> None:
    create_event_folder(tmp_path / "event")
    assert stat.S_IMODE((tmp_path / "event" / SECRETS_FILE).stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "event").stat().st_mode) == 0o700


@posix
def test_secrets_that_others_can_read_are_refused(tmp_path: Path) -> None:
    create_event_folder(tmp_path / "event")
    (tmp_path / "event" / SECRETS_FILE).chmod(0o644)
    with pytest.raises(SettingsError, match="chmod 600"):
        load_settings(tmp_path / "event")


def test_a_second_init_leaves_the_first_as_it_was(tmp_path: Path) -> None:
    made = create_event_folder(tmp_path / "event")
    with pytest.raises(SettingsError, match="holds an event already"):
        create_event_folder(tmp_path / "event")
    assert load_settings(tmp_path / "event") == made


def test_secrets_without_settings_are_not_written_over(tmp_path: Path) -> None:
    create_event_folder(tmp_path / "event")
    (tmp_path / "event" / SETTINGS_FILE).unlink()
    before = (tmp_path / "event" / SECRETS_FILE).read_bytes()
    with pytest.raises(SettingsError, match="put that back"):
        create_event_folder(tmp_path / "event")
    assert (tmp_path / "event" / SECRETS_FILE).read_bytes() == before


def test_a_folder_without_an_event_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="arena init"):
        load_settings(tmp_path)


@pytest.mark.parametrize("name", ["console_password", "secret_key", "receipt_key"])
@pytest.mark.parametrize("value", [None, "", "short", 7])
def test_a_missing_secret_refuses_to_start(tmp_path: Path, name: str, value: object) -> None:
    create_event_folder(tmp_path / "event")
    edit(tmp_path / "event" / SECRETS_FILE, **{name: value})
    with pytest.raises(SettingsError, match=name):
        load_settings(tmp_path / "event")


def test_a_missing_file_of_secrets_refuses_to_start(tmp_path: Path) -> None:
    create_event_folder(tmp_path / "event")
    (tmp_path / "event" / SECRETS_FILE).unlink()
    with pytest.raises(SettingsError, match="backup"):
        load_settings(tmp_path / "event")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("port", -1),
        ("port", 70_000),
        ("port", "8000"),
        ("port", True),
        ("name", ""),
        ("name", "two\nlines"),
        ("name", "n" * 81),
        ("host", 1),
        ("console_host", ""),
        ("console_port", 70_000),
        ("public_url", "verses.example.org"),
        ("public_url", "ftp://verses.example.org"),
        ("public_url", "https://verses.example.org/path"),
        ("public_url", "https://verses.example.org/e/"),
        ("public_url", "https://verses.example.org/e/Spring"),
        ("public_url", "https://verses.example.org/e/spring/results"),
        ("public_url", "https://verses.example.org:port"),
        ("min_free_bytes", 1.5),
        ("colour", "blue"),
    ],
)
def test_a_wrong_setting_is_refused_by_its_name(tmp_path: Path, name: str, value: object) -> None:
    create_event_folder(tmp_path / "event")
    edit(tmp_path / "event" / SETTINGS_FILE, **{name: value})
    with pytest.raises(SettingsError, match=name if name != "public_url" else "outside address"):
        load_settings(tmp_path / "event")


def test_settings_that_are_not_json_are_refused_with_the_name_of_the_file(tmp_path: Path) -> None:
    create_event_folder(tmp_path / "event")
    (tmp_path / "event" / SETTINGS_FILE).write_text('{"port": 1, "port": 2}')
    with pytest.raises(SettingsError, match="stands twice"):
        load_settings(tmp_path / "event")


def test_links_begin_with_the_outside_address(tmp_path: Path) -> None:
    made = create_event_folder(tmp_path / "event", public_url="https://verses.example.org/")
    assert made.base_url == "https://verses.example.org"
    assert made.console_url == "http://127.0.0.1:8001/console"


def test_an_event_that_shares_a_server_has_a_path(tmp_path: Path) -> None:
    made = create_event_folder(tmp_path / "event", public_url="https://verses.example.org/e/spring-2027/")
    assert made.base_url == "https://verses.example.org/e/spring-2027"
    assert (made.path, made.local_url) == ("/e/spring-2027", "http://127.0.0.1:8000/e/spring-2027")
    assert create_event_folder(tmp_path / "other").path == ""


def test_a_moved_folder_finds_its_own_database(tmp_path: Path) -> None:
    create_event_folder(tmp_path / "event")
    (tmp_path / "event").rename(tmp_path / "moved")
    assert load_settings(tmp_path / "moved").database_url.endswith("/moved/arena.sqlite3")
    assert isinstance(load_settings(tmp_path / "moved"), Settings)
