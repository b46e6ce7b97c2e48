"""Opens an event's database and files, for the edges of the house, which know services only."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from arena.store.bundles import MIN_FREE, BundleStore
from arena.store.migrations import upgrade
from arena.store.unit_of_work import ChangeDetector, Database, sqlite_url

__all__ = ["BundleStore", "ChangeDetector", "Database", "OpenEvent", "open_event", "sqlite_url"]


@dataclass(frozen=True)
class OpenEvent:
    """What services work on."""

    db: Database
    store: BundleStore


def open_event(url: str, folder: Path, min_free: int = MIN_FREE) -> OpenEvent:
    """Open the database at `url`, with the tables of this version, and the bundles under `folder`.

    Raises:
        DatabaseTooNew: a later version wrote it.
    """
    upgrade(url)
    store = BundleStore(folder, min_free)
    store.prepare()
    return OpenEvent(Database.open(url), store)
