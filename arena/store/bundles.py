"""Bundles on the disk: parts under the entry's id while they come in, whole ones under the digest of their bytes.

The database says how many bytes of a part count. What lies beyond them, after a crash, is written over by the next
piece, so the order is always: bytes to the disk first, then the row.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from trainer.verse.files import write_atomically

MIN_FREE = 2_000_000_000  # bytes: room for the database, its log and the bundles on their way
CHUNK = 2**20


@dataclass(frozen=True)
class Digests:
    """Of a whole file, in hexadecimal."""

    file: str  # SHA-256 of all of it
    tensors: str  # and of what follows the header
    size: int


@dataclass(frozen=True)
class BundleStore:
    """The folders `incoming` and `bundles` of an event."""

    folder: Path
    min_free: int = MIN_FREE  # bytes of disk that no claim may touch

    def prepare(self) -> None:
        """Make the folders."""
        for name in ("incoming", "bundles"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)

    def path(self, digest: str) -> Path:
        """Where a whole bundle lies, or will."""
        return self.folder / "bundles" / f"{digest}.verse"

    def part(self, entry_id: str) -> Path:
        """Where the bytes of an entry lie while they come in."""
        return self.folder / "incoming" / f"{entry_id}.part"

    def free_bytes(self) -> int:
        """Of the disk."""
        return shutil.disk_usage(self.folder).free

    def start(self, entry_id: str, header: bytes) -> None:
        """Begin a part with the bundle's header, unless it is begun: an id belongs to one header."""
        if not self.part(entry_id).exists():
            write_atomically(self.part(entry_id), header)

    def write(self, entry_id: str, offset: int, data: bytes) -> None:
        """Write a piece at its place and see it reach the disk. Writing it twice changes nothing.

        Raises:
            FileNotFoundError: there is no part: the bundle is complete, or was given up.
        """
        with self.part(entry_id).open("r+b") as file:
            file.seek(offset)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())

    def fill(self, entry_id: str, source: Path) -> None:
        """Copy a whole bundle over a part that was begun.

        Raises:
            FileNotFoundError: there is no part, or no source.
        """
        with source.open("rb") as whole, self.part(entry_id).open("r+b") as file:
            shutil.copyfileobj(whole, file, CHUNK)
            file.flush()
            os.fsync(file.fileno())

    def digests(self, path: Path, header_bytes: int, size: int | None = None) -> Digests:
        """Digests of a file, or of its first `size` bytes.

        Raises:
            FileNotFoundError: there is none.
        """
        whole, tensors, count = hashlib.sha256(), hashlib.sha256(), 0
        with path.open("rb") as file:
            for chunk in _chunks(file.fileno(), size):
                whole.update(chunk)
                tensors.update(chunk[max(0, header_bytes - count) :])
                count += len(chunk)
        return Digests(whole.hexdigest(), tensors.hexdigest(), count)

    def take(self, entry_id: str, digest: str, size: int) -> None:
        """Give a complete part its name among the bundles as well. The part stays until `drop`.

        Raises:
            FileNotFoundError: there is no part.
        """
        part, target = self.part(entry_id), self.path(digest)
        if part.stat().st_size > size:
            os.truncate(part, size)
        if target.exists():
            return
        copy = target.with_name(f".{entry_id}.{secrets.token_hex(6)}.part")  # several may take it at once
        try:
            os.link(part, copy)  # two names of one file, where the disk can
        except OSError:
            if not part.exists():
                raise
            with part.open("rb") as file:
                write_atomically(copy, *_chunks(file.fileno(), size))
        copy.replace(target)
        copy.unlink(missing_ok=True)  # two names of one file replace nothing: somebody else took it just now
        _sync_folder(target.parent)

    def parts(self) -> list[Path]:
        """All parts; the stem of each is its entry's id."""
        return sorted((self.folder / "incoming").glob("[0-9a-f]*.part"))

    def leftovers(self) -> list[Path]:
        """Files that a crash left half-written, under names nobody asks for. For a server's start."""
        return [path for name in ("incoming", "bundles") for path in (self.folder / name).glob(".*.part")]

    def drop(self, entry_id: str) -> None:
        """Forget an entry's part."""
        self.part(entry_id).unlink(missing_ok=True)


def _chunks(descriptor: int, size: int | None) -> Iterator[bytes]:
    left = size
    while left is None or left > 0:
        chunk = os.read(descriptor, CHUNK if left is None else min(CHUNK, left))
        if not chunk:
            return
        if left is not None:
            left -= len(chunk)
        yield chunk


def _sync_folder(folder: Path) -> None:
    if os.name == "posix":  # Windows cannot open a folder, and needs not
        with contextlib.suppress(OSError):
            descriptor = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
