"""Backups of an event, made while it goes on."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from arena.errors import BackupImpossible, DatabaseUnusable
from arena.services.schemas import BackupReport
from arena.settings import SECRETS_FILE, SETTINGS_FILE, Settings, settings_with
from arena.store import backup
from arena.store.unit_of_work import Database
from trainer.verse.files import rename, write_atomically


def back_up(db: Database, settings: Settings, folder: Path, *, now: float) -> BackupReport:
    """Copy the event into a folder: the database as it is at one moment, and the bundles that are not there yet.

    Args:
        db: the event's database.
        settings: the event's.
        folder: new, empty, or an earlier backup, which it replaces.
        now: seconds since the epoch.

    Raises:
        BackupDamaged: A bundle is missing, or is not the file that its name says.
        BackupImpossible: The event's database is not a file.
        DatabaseUnusable: The database cannot be read.
        NotABackup: The folder holds other files.
        OSError: The copy cannot be written.
    """
    if db.engine.dialect.name != "sqlite" or db.engine.url.database is None:
        raise BackupImpossible
    backup.prepare_backup(folder)
    backup.remove_partials(folder)
    try:
        copy = folder / ".database.part"  # it gets its name after the bundles are there: a backup is never half one
        backup.copy_database(Path(db.engine.url.database), copy)
        copied = backup.read_database(copy)
    except sqlite3.Error as error:
        raise DatabaseUnusable(db.engine.url.database, str(error)) from None
    here, there = settings.bundles, folder / backup.BUNDLES
    kept = [digest for digest in copied.others if (here / f"{digest}.verse").exists()]
    bundles = (*copied.needed, *kept)
    n_copied = backup.copy_bundles(bundles, here, there)
    rename(copy, folder / backup.DATABASE)
    backup.copy_file(settings.dir / SECRETS_FILE, folder / SECRETS_FILE)
    write_atomically(folder / SETTINGS_FILE, settings_with(settings.dir / SETTINGS_FILE, database_url=None))
    manifest = backup.Manifest(backup.FORMAT, copied.event, now, copied.record, copied.hash, len(bundles))
    backup.write_manifest(folder, manifest)
    return BackupReport(copied.event, copied.record, copied.hash, len(bundles), n_copied)
