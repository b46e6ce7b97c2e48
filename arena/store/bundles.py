"""Whole bundles on the disk, each named by the SHA-256 of its bytes."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class BundleStore:
    """The folder of the bundles of an event."""

    folder: Path

    def prepare(self) -> None:
        """Make the folder."""
        self.folder.mkdir(parents=True, exist_ok=True)

    def has(self, digest: str) -> bool:
        """Whether the bundle with this digest is here."""
        return self.local_copy(digest).exists()

    def local_copy(self, digest: str) -> Path:
        """Return the path of a bundle on this machine."""
        return self.folder / f"{digest}.verse"

    def put(self, source: Path, digest: str) -> None:
        """Store a complete file under its digest, durably. The source stays, and must not change afterwards.

        Args:
            source: the file, which a bundle of the same digest may replace.
            digest: its SHA-256, in hexadecimal.

        Raises:
            FileNotFoundError: There is no source.
        """
        target = self.local_copy(digest)
        if not source.exists():
            raise FileNotFoundError(source)
        if target.exists():
            return
        copy = target.with_name(f".{digest}.{secrets.token_hex(6)}.part")  # several threads may put it at once
        try:
            os.link(source, copy)  # two names of one file, where the disk can
        except OSError:
            if not source.exists():
                raise
            _copy(source, copy)
        copy.replace(target)
        copy.unlink(missing_ok=True)  # renaming a file to another name of itself does nothing: another thread was first
        _sync(target.parent)

    def leftovers(self) -> list[Path]:
        """Return files that a crash left half-written. For a server's start."""
        return list(self.folder.glob(".*.part"))


def _copy(source: Path, target: Path) -> None:
    try:
        with source.open("rb") as file, target.open("xb") as copy:
            shutil.copyfileobj(file, copy, 2**20)
            copy.flush()
            os.fsync(copy.fileno())
    except BaseException:
        target.unlink(missing_ok=True)
        raise


def _sync(folder: Path) -> None:
    """Make the names in a folder durable, where the system can."""
    if os.name == "posix":  # Windows cannot open a folder
        with contextlib.suppress(OSError):
            descriptor = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
