"""Whole bundles, each named by the SHA-256 of its bytes: in a folder, or in an object store with copies in a folder."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from arena.store.objects import ObjectStore
from trainer.verse.files import rename, sync_file, temporary

SUFFIX = ".verse"
NAME = re.compile(rf"[0-9a-f]{{64}}{re.escape(SUFFIX)}")


@dataclass(frozen=True)
class StoredBundle:
    """One bundle on the disk."""

    digest: str  # SHA-256, hexadecimal
    size: int  # bytes
    changed_at: float  # seconds since the epoch


@dataclass(frozen=True)
class BundleStore:
    """The bundles of an event."""

    folder: Path  # of the bundles, or of copies of those that were needed here
    shared: ObjectStore | None = None  # has them all; None: the folder has
    _whole: dict[str, tuple[int, int, int]] = field(default_factory=dict, repr=False, compare=False)  # see `is_whole`

    def prepare(self) -> None:
        """Make the folder."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def is_whole(self, digest: str) -> bool:
        """Whether there is the bundle with the bytes that its name says, on this disk after this call.

        The bytes are read once, and after each change.

        Raises:
            BundlesUnreachable: It is not on this disk, and the object store cannot be asked.
        """
        return self._is_whole_here(digest) or (self._fetch(digest) and self._is_whole_here(digest))

    def _is_whole_here(self, digest: str) -> bool:
        try:
            with self._path(digest).open("rb") as file:
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
        """Return the path of a bundle on this machine, where it is copied to if it is only in the object store.

        Raises:
            BundlesUnreachable: It is not on this disk, and the object store cannot be asked.
        """
        if not self._path(digest).exists():
            self._fetch(digest)
        return self._path(digest)

    def _path(self, digest: str) -> Path:
        return self.folder / f"{digest}{SUFFIX}"

    def _fetch(self, digest: str) -> bool:
        """Copy a bundle from the object store, and return whether it has one with these bytes."""
        if self.shared is None:
            return False
        target = self._path(digest)
        copy = temporary(target)
        try:
            if not self.shared.download(target.name, copy):
                return False
            with copy.open("rb+") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != digest:
                    return False
                sync_file(file)
            rename(copy, target)
            return True
        finally:
            copy.unlink(missing_ok=True)

    def put(self, source: Path, digest: str) -> None:
        """Move a complete file into the store under its digest, durably.

        Args:
            source: the file, which nobody else may have open. It replaces a stored file of other bytes.
            digest: its SHA-256, in hexadecimal.

        Raises:
            FileNotFoundError: There is no source.
            BundlesUnreachable: The object store cannot be used; then the source stays.
        """
        target = self._path(digest)
        if self.shared is not None:  # even if it has such an object: its bytes may be others
            self.shared.upload(source, target.name)
        if not self._is_whole_here(digest):
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
        """Remove a bundle, if there is one; other hosts keep their copies."""
        if self.shared is not None:
            self.shared.remove(self._path(digest).name)
        self._path(digest).unlink(missing_ok=True)

    def stored(self) -> list[StoredBundle]:
        """Return every bundle, in the order of their digests."""
        if self.shared is not None:
            listed = [one for one in self.shared.objects() if NAME.fullmatch(one.name)]
            return sorted(
                (StoredBundle(one.name.removesuffix(SUFFIX), one.size, one.changed_at) for one in listed),
                key=lambda one: one.digest,
            )
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
