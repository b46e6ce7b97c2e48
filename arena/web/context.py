"""The context of the application: everything that routes need."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from flask import current_app, request

from arena.bootstrap import BundleStore, Database, EventContext, Spool
from arena.services.schemas import Announced, Snapshot
from arena.settings import Settings
from arena.web.assets import Asset
from arena.web.attempts import Attempts
from arena.web.cookies import ConsoleSessions
from arena.web.reaction_counts import ReactionCounts

T = TypeVar("T")


@dataclass(frozen=True)
class AppContext:
    """Everything that the routes of one application need."""

    event: EventContext
    clock: Callable[[], float]  # seconds since the epoch
    snapshot: Callable[[], Snapshot]  # returns the same for all phones
    announced: Callable[[], Announced | Snapshot]  # returns what every page says of the event
    static: dict[str, Asset]  # by file name
    sessions: ConsoleSessions | None = None  # of the console; None: the application for everybody
    console_remote: bool = False  # the console answers through a proxy
    phones: Callable[[], int] | None = None  # returns how many listen for changes; None: not known
    reactions: ReactionCounts = field(default_factory=ReactionCounts)
    metrics: Callable[[], bytes] = bytes  # returns the server's metrics, for the console's application
    warning: Callable[[], str] = str  # returns what the organizer must know of the server's other parts, or ""
    guesses: Attempts = field(default_factory=lambda: Attempts(30, 10))  # of tickets and PINs, wrong ones
    joins: Attempts = field(default_factory=lambda: Attempts(60, 12))  # phones that type the right PIN
    cache: dict[str, tuple[object, Any]] = field(default_factory=dict)  # see `cached`
    computing: defaultdict[str, threading.Lock] = field(default_factory=lambda: defaultdict(threading.Lock))

    @property
    def is_console(self) -> bool:
        """Whether this is the console's application."""
        return self.sessions is not None

    @property
    def settings(self) -> Settings:
        """The settings of the event."""
        return self.event.settings

    @property
    def base_url(self) -> str:
        """The beginning of links and QR codes, without a slash at its end: as it was chosen while serving, too."""
        return self._announced("address") or self.settings.base_url

    @property
    def title(self) -> str:
        """The event's name, as it is called now."""
        return self._announced("event") or self.settings.name

    def _announced(self, field_name: str) -> str:
        """Return a text that is announced; "" where there is none, since the page may be the one that says so."""
        try:
            return str(getattr(self.announced(), field_name))
        except Exception:
            return ""

    @property
    def db(self) -> Database:
        """The database of the event."""
        return self.event.db

    @property
    def bundles(self) -> BundleStore:
        """The finished bundles of the event."""
        return self.event.bundles

    @property
    def spool(self) -> Spool:
        """The pieces of uploads."""
        return self.event.spool

    @property
    def now(self) -> float:
        """Seconds since the epoch."""
        return self.clock()

    def cached(self, name: str, version: object, compute: Callable[[], T]) -> T:
        """Compute a value that is the same for everybody, once for each version, in one thread while others wait.

        Args:
            name: the value's name.
            version: the kept value is returned until this changes.
            compute: returns a new value.

        Returns:
            The value.
        """
        with self.computing[name]:
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


def root() -> str:
    """Return what each address on this server begins with: the path of the event, as /e/NAME, or nothing."""
    return request.script_root


def static_address(name: str) -> str:
    """Return the address of a static file, with its digest."""
    return f"{root()}/static/{name}?v={get_context().static[name].digest}"
