"""Durable file writes: whole or not at all, also on disks that know no folder syncs and no hard links."""

from __future__ import annotations

import errno
import os
import secrets
import time
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

PARTIAL = ".part"  # the end of the names of temporary files
BINARY: int = getattr(os, "O_BINARY", 0)  # without it, Windows would change line feeds
RENAME_SECONDS = 1.0  # a virus scanner or an indexer keeps a new file open for a moment
RENAME_PAUSE = 0.02  # seconds between two attempts
# What file systems answer that cannot sync a folder (SMB, vboxsf, FUSE), or may not open one: the file is there.
NO_FOLDER_SYNC = {errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.ENOSYS, errno.EISDIR, errno.EACCES, errno.EPERM}


def clear_partials(folder: Path) -> None:
    """Remove temporary files that killed processes left. No process may be writing to the folder."""
    for partial in folder.glob(f".*{PARTIAL}"):
        partial.unlink(missing_ok=True)


def write_atomically(path: Path, *chunks: bytes, mode: int = 0o666) -> None:
    """Write a file completely or not at all, even if the disk is full or the process is killed.

    The bytes are written to a temporary file in the same folder and flushed to the disk; then the file is renamed.

    Args:
        path: the file.
        chunks: its bytes, in order.
        mode: its permissions, less what the process takes from all of its files.

    Raises:
        OSError: The disk is full, or the folder is missing or not writable; `path` is unchanged.
    """
    partial = temporary(path)
    try:
        _write(partial, chunks, mode)
        rename(partial, path)
    except BaseException as error:
        partial.unlink(missing_ok=True)
        if isinstance(error, OSError):
            error.filename, error.filename2 = str(path), None  # instead of the temporary name
        raise


def write_new(path: Path, data: bytes | Iterable[bytes], mode: int = 0o600) -> bool:
    """Write a new file, which has its permissions from the moment it exists; never replace one.

    Args:
        path: Its name.
        data: Its bytes, at once or in pieces.
        mode: Permissions; by default, only its owner can read it.

    Returns:
        False if there is a file already; of two programs at the same time, one writes it.

    Raises:
        OSError: It cannot be written; no part of it is left.
    """
    partial = temporary(path)
    try:
        _write(partial, [data] if isinstance(data, bytes) else data, mode)
        try:
            os.link(partial, path)  # unlike a rename, it never replaces an existing file
        except FileExistsError:
            return False
        except OSError:  # a disk without hard links: take the name first
            try:
                os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode))
            except FileExistsError:
                return False
            rename(partial, path)
    except OSError as error:
        error.filename, error.filename2 = str(path), None
        raise
    finally:
        partial.unlink(missing_ok=True)
    sync_folder(path.parent)
    return True


def temporary(path: Path) -> Path:
    """Return a new temporary name in the folder of a file."""
    return path.with_name(f".{path.name[:40]}.{secrets.token_hex(6)}{PARTIAL}")


def rename(source: Path, target: Path) -> None:
    """Give a written file its name, durably; where another program holds one of the two for a moment, try again.

    Raises:
        OSError: It cannot be renamed.
    """
    deadline = time.monotonic() + RENAME_SECONDS
    while True:
        try:
            source.replace(target)
            break
        except OSError as error:
            is_held = isinstance(error, PermissionError) or error.errno == errno.EBUSY
            if not is_held or target.is_dir() or time.monotonic() > deadline:
                raise
            time.sleep(RENAME_PAUSE)
    sync_folder(target.parent)


def sync_file(file: BinaryIO) -> None:
    """Let what was written to an open file reach the disk.

    Raises:
        OSError: It did not.
    """
    file.flush()
    os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Let new names in a folder reach the disk, where the system and the disk can do that.

    Raises:
        OSError: The disk failed.
    """
    if os.name != "posix":  # Windows cannot open a folder
        return
    try:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno not in NO_FOLDER_SYNC:
            raise


def _write(path: Path, chunks: Iterable[bytes], mode: int) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | BINARY, mode), "wb") as file:
        for chunk in chunks:
            file.write(chunk)
        sync_file(file)
