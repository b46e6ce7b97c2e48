"""The spool: pieces of bundles on the disk while they are uploaded, one part a claim, named by its entry's id.

The database says how many bytes of a part count. Bytes beyond these, which a crash left, are overwritten by the next
piece. So bytes are always written to the disk first, and then the row.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from trainer.verse.files import sync_file, write_atomically

CHUNK = 2**20  # bytes read at once
MIN_FREE = 2_000_000_000  # bytes: room for the database, its log and the bundles being uploaded


@dataclass(frozen=True)
class CompletePart:
    """All bytes of one upload, and their digests in hexadecimal."""

    path: Path
    size: int  # bytes
    digest: str  # SHA-256 of all of it
    tensors_sha256: str  # SHA-256 of what follows the header


@dataclass(frozen=True)
class Spool:
    """The folder of the parts of an event."""

    folder: Path
    min_free: int = MIN_FREE  # bytes of disk that no claim may use

    def prepare(self) -> None:
        """Make the folder."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def part(self, entry_id: str) -> Path:
        """Return the path of an entry's part."""
        return self.folder / f"{entry_id}.part"

    def free_bytes(self) -> int:
        """Return the free bytes of the disk."""
        return shutil.disk_usage(self.folder).free

    def size(self, entry_id: str) -> int:
        """Return the bytes of a part on the disk.

        Raises:
            FileNotFoundError: There is no such part.
        """
        return self.part(entry_id).stat().st_size

    def start(self, entry_id: str, header: bytes) -> None:
        """Begin a part with the bundle's header, unless there is one: an id belongs to one header."""
        if not self.part(entry_id).exists():
            write_atomically(self.part(entry_id), header)

    def write(self, entry_id: str, offset: int, data: bytes) -> None:
        """Write a piece at its place, durably. Writing it twice changes nothing.

        Args:
            entry_id: whose part.
            offset: the place of the first byte, in bytes from the start of the file.
            data: the piece.

        Raises:
            FileNotFoundError: There is no such part: the bundle is complete, or was given up.
        """
        with self.part(entry_id).open("r+b") as file:
            file.seek(offset)
            file.write(data)
            sync_file(file)

    def fill(self, entry_id: str, source: Path) -> None:
        """Copy a whole bundle over a part.

        Raises:
            FileNotFoundError: There is no such part, or no source.
        """
        with source.open("rb") as whole, self.part(entry_id).open("r+b") as file:
            shutil.copyfileobj(whole, file, CHUNK)
            sync_file(file)

    def complete(self, entry_id: str, header_bytes: int, size: int) -> CompletePart:
        """Cut a part to its size, and compute its digests.

        Args:
            entry_id: whose part.
            header_bytes: bytes before the tensors.
            size: bytes of the whole bundle.

        Raises:
            FileNotFoundError: There is no such part.
        """
        path = self.part(entry_id)
        if path.stat().st_size > size:
            os.truncate(path, size)
        whole, tensors, count = hashlib.sha256(), hashlib.sha256(), 0
        with path.open("rb") as file:
            while chunk := file.read(CHUNK):
                whole.update(chunk)
                tensors.update(chunk[max(0, header_bytes - count) :])
                count += len(chunk)
        return CompletePart(path, count, whole.hexdigest(), tensors.hexdigest())

    def drop(self, entry_id: str) -> None:
        """Remove an entry's part, if there is one."""
        self.part(entry_id).unlink(missing_ok=True)

    def parts(self) -> list[Path]:
        """Return all parts; the stem of each is its entry's id."""
        return sorted(self.folder.glob("[0-9a-f]*.part"))

    def leftovers(self) -> list[Path]:
        """Return files that a crash left half-written. For a server's start."""
        return list(self.folder.glob(".*.part"))
