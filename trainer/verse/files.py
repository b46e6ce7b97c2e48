"""Atomic file writes."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

PARTIAL = ".part"  # the end of the names of temporary files


def clear_partials(folder: Path) -> None:
    """Remove temporary files that killed processes left. No process may be writing to the folder."""
    for partial in folder.glob(f".*{PARTIAL}"):
        partial.unlink(missing_ok=True)


def write_atomically(path: Path, *chunks: bytes) -> None:
    """Write a file completely or not at all, even if the disk is full or the process is killed.

    The bytes are written to a temporary file in the same folder and flushed to the disk; then the file is renamed.

    Raises:
        OSError: The disk is full, or the folder is missing or not writable; `path` is unchanged.
    """
    partial = path.with_name(f".{path.name[:40]}.{secrets.token_hex(6)}{PARTIAL}")
    try:
        with partial.open("xb") as file:
            for chunk in chunks:
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except BaseException as error:
        partial.unlink(missing_ok=True)
        if isinstance(error, OSError):
            error.filename = str(path)  # instead of the temporary name
        raise
    if os.name == "posix":  # the new name itself must reach the disk; Windows cannot open a folder
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
