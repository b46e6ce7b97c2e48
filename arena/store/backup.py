"""Copies of an event's files in another folder, made while the event goes on.

backup.json      what the copy holds; written last, so that a folder without it is no backup
arena.sqlite3    the database at one moment
bundles/         complete bundles; each is copied once
settings.json, secrets.json

Uploads on their way are not copied: whoever sends them begins again.
"""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from arena.errors import BackupDamaged, NoBackup, NotABackup
from arena.rules.lifecycle import LIVE
from trainer.verse import strictjson
from trainer.verse.files import rename, sync_file, temporary, write_atomically

MANIFEST = "backup.json"
DATABASE = "arena.sqlite3"
BUNDLES = "bundles"
FORMAT = 1
CHUNK = 2**20  # bytes read at once


@dataclass(frozen=True)
class Manifest:
    """What a backup holds."""

    format: int
    event: str  # name
    at: float  # when it was made, seconds since the epoch
    record: int  # number of the log's latest record
    hash: str  # of that record
    bundles: int


def prepare_backup(folder: Path) -> None:
    """Make a folder for a backup, which only its owner can read: it will hold the event's secrets.

    Raises:
        NotABackup: The folder holds other files.
        OSError: It cannot be made.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    begun = (path.name == BUNDLES or path.name.endswith(".part") for path in folder.iterdir())  # and interrupted
    if not (folder / MANIFEST).exists() and not all(begun):
        raise NotABackup(str(folder))
    (folder / BUNDLES).mkdir(mode=0o700, exist_ok=True)


def remove_partials(folder: Path) -> None:
    """Remove copies that were interrupted."""
    for path in (*folder.glob(".*.part"), *(folder / BUNDLES).glob(".*.part")):
        path.unlink(missing_ok=True)


def copy_database(source: Path, target: Path) -> None:
    """Copy an SQLite database as it is at one moment, while others write to it.

    Raises:
        OSError: The copy cannot be written.
        sqlite3.Error: The database cannot be read.
    """
    partial = temporary(target)
    try:
        with contextlib.ExitStack() as stack:
            database = stack.enter_context(contextlib.closing(sqlite3.connect(source)))
            copy = stack.enter_context(contextlib.closing(sqlite3.connect(partial)))
            database.backup(copy)  # all pages in one transaction that reads
            copy.execute("PRAGMA journal_mode=DELETE")  # so that the copy is one file
        _finish(partial, target)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def copy_bundles(digests: Iterable[str], source: Path, target: Path) -> int:
    """Copy bundles that are not there yet, and check each by its digest.

    Args:
        digests: which, in hexadecimal.
        source: a folder of bundles.
        target: another one.

    Returns:
        The number of bundles copied.

    Raises:
        BackupDamaged: A bundle is missing in the source, or is not what its name says.
        OSError: A copy cannot be written.
    """
    copied = 0
    for digest in digests:
        name = f"{digest}.verse"
        if not (target / name).exists():
            if not (source / name).is_file():
                raise BackupDamaged(str(source / name), "it is missing")
            if _copy(source / name, target / name) != digest:
                (target / name).unlink()
                raise BackupDamaged(str(source / name), "it is not the file that its name says")
            copied += 1
    return copied


def copy_file(source: Path, target: Path) -> None:
    """Copy a small file, readable by its owner only.

    Raises:
        OSError: It cannot be read or written.
    """
    write_atomically(target, source.read_bytes())
    with contextlib.suppress(OSError):  # a memory stick has no owners
        target.chmod(0o600)


@dataclass(frozen=True)
class CopiedDatabase:
    """What a backup must know of the database it has copied."""

    event: str  # name
    record: int  # number of the log's latest record
    hash: str  # of that record
    needed: tuple[str, ...]  # digests of the bundles of entries that take part, or could again
    others: tuple[str, ...]  # of the bundles of other entries, which may have been removed


def read_database(path: Path) -> CopiedDatabase:
    """Read what a copied database says about the event.

    Raises:
        sqlite3.Error: It cannot be read.
    """
    with contextlib.closing(sqlite3.connect(path)) as database:
        [(event,)] = database.execute("SELECT name FROM events").fetchall()
        record, digest = database.execute("SELECT number, hash FROM log ORDER BY number DESC LIMIT 1").fetchone()
        rows = database.execute("SELECT DISTINCT bundle, state FROM entries WHERE bundle IS NOT NULL").fetchall()
    needed = {bundle for bundle, state in rows if state in (*LIVE, "disqualified")}
    others = {bundle for bundle, _ in rows} - needed
    return CopiedDatabase(event, record, digest, tuple(sorted(needed)), tuple(sorted(others)))


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write what a backup holds, last of all."""
    write_atomically(folder / MANIFEST, strictjson.dump(asdict(manifest)), b"\n")


def read_manifest(folder: Path) -> Manifest:
    """Read what a backup holds.

    Raises:
        NoBackup: The folder is none.
        BackupDamaged: The description cannot be read.
    """
    path = folder / MANIFEST
    try:
        data = strictjson.parse(path.read_bytes())
    except FileNotFoundError:
        raise NoBackup(str(folder)) from None
    except (OSError, ValueError) as error:
        raise BackupDamaged(str(path), str(error)) from None
    if not isinstance(data, dict) or data.keys() != Manifest.__dataclass_fields__.keys() or data["format"] != FORMAT:
        raise BackupDamaged(str(path), "it is not one that this version wrote")
    return Manifest(**data)


def check_database(path: Path) -> None:
    """Check that a copied database is whole.

    Raises:
        BackupDamaged: It is not.
    """
    try:
        with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as database:
            [(answer,)] = database.execute("PRAGMA quick_check(1)").fetchall()
    except sqlite3.Error as error:
        answer = str(error)
    if answer != "ok":
        raise BackupDamaged(str(path), answer)


def _copy(source: Path, target: Path) -> str:
    """Copy a file durably, and return the SHA-256 of what was read."""
    partial, digest = temporary(target), hashlib.sha256()
    try:
        with source.open("rb") as file, partial.open("xb") as copy:
            while chunk := file.read(CHUNK):
                digest.update(chunk)
                copy.write(chunk)
        _finish(partial, target)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    return digest.hexdigest()


def _finish(partial: Path, target: Path) -> None:
    """Give a copy its name, once all of it is on the disk and only its owner can read it."""
    with contextlib.suppress(OSError):
        partial.chmod(0o600)
    with partial.open("rb+") as file:
        sync_file(file)
    rename(partial, target)
