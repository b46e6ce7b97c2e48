"""What routes need, in one object of the application; blueprints import this file and not the factory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from flask import current_app

from arena.bootstrap import BundleStore, Database, Spool
from arena.services.schemas import Snapshot
from arena.settings import Settings
from arena.web.assets import Asset
from arena.web.login_limit import LoginLimit

T = TypeVar("T")


@dataclass(frozen=True)
class AppContext:
    """What one application works on."""

    settings: Settings
    db: Database
    bundles: BundleStore
    spool: Spool
    clock: Callable[[], float]  # seconds since the epoch
    snapshot: Callable[[], Snapshot]  # what is the same for all phones
    static: dict[str, Asset]  # by file name
    console_remote: bool = False  # the console answers other machines
    logins: LoginLimit = field(default_factory=LoginLimit)
    cache: dict[str, tuple[object, Any]] = field(default_factory=dict)  # see `cached`

    @property
    def now(self) -> float:
        """Seconds since the epoch."""
        return self.clock()

    def cached(self, name: str, version: object, compute: Callable[[], T]) -> T:
        """Compute an answer that is the same for everybody once a version; a whole room asks at the same moment."""
        entry = self.cache.get(name)
        if entry is None or entry[0] != version:
            entry = self.cache[name] = (version, compute())
        value: T = entry[1]
        return value


def get_context() -> AppContext:
    """Return the context of the current application."""
    context = current_app.extensions["arena"]
    assert isinstance(context, AppContext)
    return context
