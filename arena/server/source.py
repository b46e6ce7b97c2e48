"""Snapshots of the real database."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session, sessionmaker

from arena.bootstrap import Watch
from arena.services import queries


class DatabaseSource:
    """`snapshot.Source` over the event's database."""

    def __init__(self, db: sessionmaker[Session]) -> None:
        self._db, self._watch = db, Watch(db)

    def changed(self) -> bool:
        return self._watch.changed()

    def build(self, now: float) -> dict[str, Any]:
        return queries.snapshot(self._db, now=now)

    def close(self) -> None:
        self._watch.close()
