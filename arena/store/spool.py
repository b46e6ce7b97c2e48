"""The spool: pieces of bundles on the disk while they are uploaded, one part a claim, named by its entry's id.

The database says how many bytes of a part count. Bytes beyond these, which a crash left, are overwritten by the next
piece. So the bytes of a piece are written to the disk first, and then the row.

Only one thread at a time works on a part: whoever holds `Spool.lock`. The lock is not one of the system, because only
the one web process writes parts. Once all bytes are here, the part loses its name before anybody computes its digest.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import threading
from dataclasses import dataclass, field
from pathlib import Path

from trainer.verse.files import sync_file, write_atomically

CHUNK = 2**20  # bytes read at once
MIN_FREE = 2_000_000_000  # bytes: room for the database, its log and the bundles being uploaded
COMPLETE = ".complete"  # the end of the name of a part with all its bytes
LOCKS = 64  # entries share them: more than the threads that write parts


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
    _locks: tuple[threading.Lock, ...] = field(
        default_factory=lambda: tuple(threading.Lock() for _ in range(LOCKS)), repr=False, compare=False
    )

    def prepare(self) -> None:
        """Make the folder."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def part(self, entry_id: str) -> Path:
        """Return the path of an entry's part."""
        return self.folder / f"{entry_id}.part"

    def lock(self, entry_id: str) -> threading.Lock:
        """Return the lock of an entry's part. A thread holds one such lock at a time, since entries share them."""
        return self._locks[hash(entry_id) % LOCKS]

    def free_bytes(self) -> int:
        """Return the bytes of the disk that uploads may use: what is free, but for `min_free`."""
        return shutil.disk_usage(self.folder).free - self.min_free

    def size(self, entry_id: str) -> int:
        """Return the bytes of a part on the disk; 0 if there is none."""
        try:
            return self.part(entry_id).stat().st_size
        except FileNotFoundError:
            return 0

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
        """Take a part's name away, cut it to its size, and compute its digests.

        Args:
            entry_id: whose part.
            header_bytes: bytes before the tensors.
            size: bytes of the whole bundle.

        Raises:
            FileNotFoundError: There is no such part.
        """
        path = self._complete_path(entry_id)
        self.part(entry_id).replace(path)
        if path.stat().st_size > size:
            os.truncate(path, size)
        whole, tensors, count = hashlib.sha256(), hashlib.sha256(), 0
        with path.open("rb") as file:
            while chunk := file.read(CHUNK):
                whole.update(chunk)
                tensors.update(chunk[max(0, header_bytes - count) :])
                count += len(chunk)
        return CompletePart(path, count, whole.hexdigest(), tensors.hexdigest())

    def reopen(self, entry_id: str) -> None:
        """Give a complete part its name back, for a bundle that must be sent again; do nothing if there is none."""
        with contextlib.suppress(FileNotFoundError):
            self._complete_path(entry_id).replace(self.part(entry_id))

    def drop(self, entry_id: str) -> None:
        """Remove an entry's part, if there is one; an open one on Windows stays until the next call."""
        with contextlib.suppress(PermissionError):
            self.part(entry_id).unlink(missing_ok=True)

    def parts(self) -> list[str]:
        """Return the entries that have a part."""
        return sorted(path.stem for path in self.folder.glob("[0-9a-f]*.part"))

    def complete_parts(self) -> list[str]:
        """Return the entries with a complete part that a crash left. For a server's start."""
        return sorted(path.stem for path in self.folder.glob(f"[0-9a-f]*{COMPLETE}"))

    def leftovers(self) -> list[Path]:
        """Return files that a crash left half-written. For a server's start."""
        return list(self.folder.glob(".*.part"))

    def _complete_path(self, entry_id: str) -> Path:
        return self.folder / f"{entry_id}{COMPLETE}"
