"""Whole bundles on the disk, each named by the SHA-256 of its bytes."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from trainer.verse.files import rename, sync_file, temporary

SUFFIX = ".verse"


@dataclass(frozen=True)
class StoredBundle:
    """One bundle on the disk."""

    digest: str  # SHA-256, hexadecimal
    size: int  # bytes
    changed_at: float  # seconds since the epoch


@dataclass(frozen=True)
class BundleStore:
    """The folder of the bundles of an event."""

    folder: Path
    _whole: dict[str, tuple[int, int, int]] = field(default_factory=dict, repr=False, compare=False)  # see `is_whole`

    def prepare(self) -> None:
        """Make the folder."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def is_whole(self, digest: str) -> bool:
        """Whether the bundle is here with the bytes that its name says. They are read once, and after each change."""
        try:
            with self.local_copy(digest).open("rb") as file:
                status = os.fstat(file.fileno())
                version = (status.st_ino, status.st_size, status.st_mtime_ns)
                if self._whole.get(digest) == version:
                    return True
                if hashlib.file_digest(file, "sha256").hexdigest() != digest:
                    return False
        except FileNotFoundError:
            return False
        self._whole[digest] = version
        return True

    def local_copy(self, digest: str) -> Path:
        """Return the path of a bundle on this machine."""
        return self.folder / f"{digest}{SUFFIX}"

    def put(self, source: Path, digest: str) -> None:
        """Move a complete file into the store under its digest, durably.

        Args:
            source: the file, which nobody else may have open. It replaces a stored file of other bytes.
            digest: its SHA-256, in hexadecimal.

        Raises:
            FileNotFoundError: There is no source.
        """
        target = self.local_copy(digest)
        if not self.is_whole(digest):
            try:
                rename(source, target)
            except OSError as error:
                if error.errno != errno.EXDEV:  # the folders are on different disks
                    raise
                copy = temporary(target)
                _copy(source, copy)
                rename(copy, target)
        source.unlink(missing_ok=True)

    def remove(self, digest: str) -> None:
        """Remove a bundle, if it is here."""
        self.local_copy(digest).unlink(missing_ok=True)

    def stored(self) -> list[StoredBundle]:
        """Return every bundle, in the order of their digests."""
        found = [(path.stem, path.stat()) for path in sorted(self.folder.glob(f"[0-9a-f]*{SUFFIX}"))]
        return [StoredBundle(digest, status.st_size, status.st_mtime) for digest, status in found]

    def leftovers(self) -> list[Path]:
        """Return files that a crash left half-written. For a server's start."""
        return list(self.folder.glob(".*.part"))


def _copy(source: Path, target: Path) -> None:
    try:
        with source.open("rb") as file, target.open("xb") as copy:
            shutil.copyfileobj(file, copy, 2**20)
            sync_file(copy)
    except BaseException:
        target.unlink(missing_ok=True)
        raise
