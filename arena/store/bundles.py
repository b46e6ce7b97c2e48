"""Whole bundles on the disk, each named by the SHA-256 of its bytes."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from trainer.verse.files import rename, sync_file, temporary


@dataclass(frozen=True)
class BundleStore:
    """The folder of the bundles of an event."""

    folder: Path

    def prepare(self) -> None:
        """Make the folder."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)

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
        copy = temporary(target)  # several threads may put it at once
        try:
            os.link(source, copy)  # two names of one file, where the disk can
        except OSError:
            if not source.exists():
                raise
            _copy(source, copy)
        try:
            rename(copy, target)
        finally:
            copy.unlink(missing_ok=True)  # renaming a file to another name of itself does nothing: another was first

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
