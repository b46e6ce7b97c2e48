"""Files are written whole or not at all."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

PARTIAL = ".part"  # how names of temporary files end


def clear_partials(folder: Path) -> None:
    """Remove what killed processes left of their temporary files. Nobody may be writing there."""
    for partial in folder.glob(f".*{PARTIAL}"):
        partial.unlink(missing_ok=True)


def write_atomically(path: Path, *chunks: bytes) -> None:
    """Write `chunks` to `path` so that a reader, a full disk or a killed process never leaves half a file.

    The bytes go to a temporary file in the same folder, reach the disk, and take the name in one step.

    Raises:
        OSError: the disk is full, the folder is missing or not writable; `path` is then as it was.
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
            error.filename = str(path)  # the name that people know
        raise
    if os.name == "posix":  # the new name itself must reach the disk; Windows cannot open a folder
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
