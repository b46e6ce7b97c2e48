"""Backups: made while an event goes on, restored elsewhere, and refused where a byte is not what it should be."""

from __future__ import annotations

import json
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from click.testing import CliRunner

from arena.bootstrap import restore_event
from arena.cli import main
from arena.errors import ArenaError, BackupDamaged, NoBackup, NotABackup
from arena.server import standby
from arena.server.standby import Standby
from arena.services import queries
from arena.services.backups import back_up
from arena.services.bracket import open_match
from arena.services.log import verify_log
from arena.services.schemas import BackupReport
from tests.support.bundles import verse
from tests.support.evening import Evening

VOTERS = 120


def copy(evening: Evening, folder: Path) -> BackupReport:
    return back_up(evening.db, evening.settings, folder, now=evening.now)


def restored(evening: Evening, backup: Path, folder: Path) -> Evening:
    restore_event(backup, folder, now=evening.now)
    return Evening(folder)


def test_a_backup_made_while_a_room_votes_is_one_moment_of_the_event(evening: Evening, tmp_path: Path) -> None:
    authors = evening.create().voting(2)
    begun = threading.Event()

    def vote(number: int) -> None:
        if number == VOTERS // 8:
            begun.set()
        evening.vote(f"voter {number}", "r1m1", authors[number % 2].text)

    with ThreadPoolExecutor(8) as room:
        votes = [room.submit(vote, number) for number in range(VOTERS)]
        begun.wait(20)
        reports = [copy(evening, tmp_path / f"backup {number}") for number in range(4)]
        assert [vote.result() for vote in votes] == [None] * VOTERS
    for number, report in enumerate(reports):
        other = restored(evening, tmp_path / f"backup {number}", tmp_path / f"restored {number}")
        assert verify_log(other.db) == report.record + 1, "the record of the restoring follows"
        kept = queries.snapshot(other.db, now=other.now)
        assert kept.match is not None and kept.match.votes <= VOTERS
        other.end()
    whole = restored(evening, tmp_path / "backup 3", tmp_path / "whole")
    assert whole.settings.receipt_key == evening.settings.receipt_key
    assert whole.settings.secret_key == evening.settings.secret_key
    whole.end()


def test_an_event_goes_on_from_its_backup_to_the_champion(evening: Evening, tmp_path: Path) -> None:
    authors = evening.create().draw(2)
    copy(evening, tmp_path / "backup")
    open_match(evening.db, "r1m1", now=evening.now)  # what happened since then is lost
    other = restored(evening, tmp_path / "backup", tmp_path / "restored")
    state = queries.snapshot(other.db, now=other.now)
    assert (state.phase, state.epoch) == ("between", 1)
    champion = other.decide("r1m1", authors[0].text).champion
    assert champion is not None and champion.entry == authors[0].entry
    assert all(
        other.bundles.is_whole(entry.bundle)
        for entry in [queries.entry_view(other.db, a.entry, now=other.now) for a in authors]
    )
    other.end()


def test_the_next_backup_copies_only_what_is_new(evening: Evening, tmp_path: Path) -> None:
    evening.create().authors(2)
    assert copy(evening, tmp_path / "backup").copied == 2
    evening.author("Late", 7)
    again = copy(evening, tmp_path / "backup")
    assert (again.bundles, again.copied) == (3, 1)


def test_a_backup_holds_secrets_and_so_only_its_owner_can_read_it(evening: Evening, tmp_path: Path) -> None:
    evening.create().authors(1)
    copy(evening, tmp_path / "backup")
    for path in (tmp_path / "backup").rglob("*"):
        assert path.stat().st_mode & 0o077 == 0 or path.name in ("settings.json", "backup.json"), path
    restore_event(tmp_path / "backup", tmp_path / "restored", now=evening.now)
    assert (tmp_path / "restored" / "secrets.json").stat().st_mode & 0o077 == 0


def test_an_upload_on_its_way_begins_again_after_a_restore(evening: Evening, tmp_path: Path) -> None:
    evening.begin()
    bundle = verse(1)
    receipt = evening.claim("ann", bundle)
    evening.piece("ann", receipt.entry, receipt.offset, bundle[receipt.offset : receipt.offset + 50])
    copy(evening, tmp_path / "backup")
    other = restored(evening, tmp_path / "backup", tmp_path / "restored")
    assert other.enter("ann", bundle) == receipt.entry
    assert other.verify_all() == 1
    other.end()


def test_a_folder_with_other_files_is_not_overwritten(evening: Evening, tmp_path: Path) -> None:
    evening.begin()
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "one.jpg").write_bytes(b"")
    with pytest.raises(NotABackup, match="holds other files"):
        copy(evening, tmp_path / "photos")
    copy(evening, tmp_path / "backup")
    with pytest.raises(ArenaError, match="holds files"):
        restore_event(tmp_path / "backup", tmp_path / "photos", now=evening.now)


@pytest.mark.parametrize("what", ["bundle", "database", "manifest", "missing bundle", "log"])
def test_a_damaged_backup_is_refused_and_leaves_nothing(evening: Evening, tmp_path: Path, what: str) -> None:
    evening.create().authors(2)
    backup = tmp_path / "backup"
    copy(evening, backup)
    bundle = next((backup / "bundles").glob("*.verse"))
    match what:
        case "bundle":
            data = bytearray(bundle.read_bytes())
            data[len(data) // 2] ^= 1
            bundle.write_bytes(data)
        case "missing bundle":
            bundle.unlink()
        case "database":
            with (backup / "arena.sqlite3").open("r+b") as file:
                file.truncate(8_192)
        case "manifest":
            (backup / "backup.json").write_text(json.dumps({"format": 2}))
        case "log":
            with sqlite3.connect(backup / "arena.sqlite3") as database:
                database.execute("DROP TRIGGER log_no_update")
                database.execute("UPDATE log SET data = '{}' WHERE number = 2")
    with pytest.raises(ArenaError):
        restore_event(backup, tmp_path / "restored", now=evening.now)
    assert not (tmp_path / "restored").exists()
    assert not list(tmp_path.glob(".restore-*"))


def test_a_folder_that_is_no_backup_is_named(tmp_path: Path) -> None:
    with pytest.raises(NoBackup, match="holds no complete backup"):
        restore_event(tmp_path, tmp_path / "restored", now=0.0)


def test_a_bundle_that_the_event_has_lost_is_named(evening: Evening, tmp_path: Path) -> None:
    author = evening.create().authors(1)[0]
    evening.verify_all()
    lost = next(evening.bundles.folder.glob("*.verse"))
    lost.unlink()
    with pytest.raises(BackupDamaged, match="it is missing"):
        copy(evening, tmp_path / "backup")
    assert author.entry and not (tmp_path / "backup" / "backup.json").exists()


def test_an_interrupted_backup_leaves_the_earlier_one_whole_and_is_taken_up(evening: Evening, tmp_path: Path) -> None:
    evening.create().authors(1)
    evening.verify_all()
    copy(evening, tmp_path / "stick")
    late = evening.author("Late", 7)
    evening.verify_all()
    copied = {path.name for path in (tmp_path / "stick" / "bundles").iterdir()}
    [bundle] = [path for path in evening.bundles.folder.glob("*.verse") if path.name not in copied]
    kept = bundle.read_bytes()
    bundle.unlink()  # as if the stick had been pulled out before this bundle
    for folder in ("stick", "new"):
        with pytest.raises(BackupDamaged):
            copy(evening, tmp_path / folder)
    other = restored(evening, tmp_path / "stick", tmp_path / "restored")
    assert late.entry not in {entry.entry for entry in queries.list_entries(other.db)}
    other.end()
    bundle.write_bytes(kept)
    assert [copy(evening, tmp_path / folder).bundles for folder in ("stick", "new")] == [2, 2]


def test_both_commands_say_what_they_did(evening: Evening, tmp_path: Path) -> None:
    evening.create().authors(1)
    said = CliRunner().invoke(main, ["backup", str(tmp_path / "b"), "--dir", str(evening.folder)], prog_name="arena")
    assert said.exit_code == 0 and "1 bundle (1 new)" in said.output, said.output
    said = CliRunner().invoke(main, ["restore", str(tmp_path / "b"), "--dir", str(tmp_path / "r")], prog_name="arena")
    assert said.exit_code == 0 and f"arena serve --dir {tmp_path / 'r'}" in said.output, said.output
    again = CliRunner().invoke(main, ["restore", str(tmp_path / "b"), "--dir", str(tmp_path / "r")], prog_name="arena")
    assert again.exit_code == 1 and "choose" not in again.output and "--dir" in again.output


class Copies:
    """Counts backups, and fails while it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count, self.error = 0, ""
        monkeypatch.setattr(standby, "back_up", self)

    def __call__(self, *_: object, **__: object) -> None:
        if self.error:
            raise OSError(self.error)
        self.count += 1


def test_a_standby_copies_at_each_change_of_phase_and_every_minute_if_something_was_written(
    evening: Evening, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copies = Copies(monkeypatch)
    evening.create()
    event = evening.event
    keeper = Standby(event, tmp_path / "stick", lambda: evening.now)

    def counts(changed: bool) -> int:
        before = copies.count
        keeper.step(changed)
        return copies.count - before

    assert (counts(True), counts(True), counts(False)) == (1, 0, 0)
    evening.now += 61
    assert (counts(False), counts(False)) == (1, 0), "something was written a minute ago"
    evening.now += 61
    assert counts(False) == 0, "nothing was written since"
    evening.open()
    assert counts(True) == 1, "submissions are open"
    copies.error = "the stick is gone"
    evening.now += 61
    assert counts(True) == 0 and keeper.problem == "the stick is gone"
    copies.error = ""
    evening.now += 61
    assert counts(False) == 1 and keeper.problem == ""
