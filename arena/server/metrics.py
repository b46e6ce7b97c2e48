"""What a server counts, in the text format of Prometheus, for the console's port only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

from arena.server.health import Health
from arena.server.snapshot import SnapshotKeeper

SECONDS = (0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0)  # bounds of the histogram


class Metrics:
    """The counters of a web process."""

    def __init__(self, keeper: SnapshotKeeper, health: Health) -> None:
        """Make counters that begin at zero.

        Args:
            keeper: the keeper of snapshots, which know how far the event is.
            health: whether the parts of the server work.
        """
        self._keeper, self._health = keeper, health
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self.polls = Counter("arena_polls", "Polls of the state, answered from memory.", registry=self._registry)
        self._requests = Counter(
            "arena_requests", "Other requests, by class and HTTP status.", ["kind", "status"], registry=self._registry
        )
        self._seconds = Histogram(
            "arena_request_seconds",
            "Time from a request's head to the end of its response.",
            ["kind"],
            buckets=SECONDS,
            registry=self._registry,
        )
        self._busy = Gauge(
            "arena_requests_under_way",
            "Requests that run or wait in an executor.",
            ["executor"],
            registry=self._registry,
        )
        self._up = Gauge("arena_up", "1 if a part of the server works.", ["part"], registry=self._registry)
        self._entries = Gauge("arena_entries", "Entries by state.", ["state"], registry=self._registry)
        self._votes = Gauge("arena_match_votes", "Votes cast in the open match.", registry=self._registry)
        self._closed = Gauge("arena_matches_closed", "Matches that are decided.", registry=self._registry)
        self._version = Gauge("arena_log_records", "Records of the event's log.", registry=self._registry)

    def request(self, kind: str, status: int, seconds: float) -> None:
        """Count a request.

        Args:
            kind: its class, as `web.limits` names it.
            status: of the response.
            seconds: that it took.
        """
        self._requests.labels(kind, str(status)).inc()
        self._seconds.labels(kind).observe(seconds)

    def watch(self, executor: str, count: Callable[[], float]) -> None:
        """Show the requests of an executor.

        Args:
            executor: its name.
            count: returns how many it has now.
        """
        self._busy.labels(executor).set_function(count)

    def render(self) -> bytes:
        """Return all metrics as text."""
        for part, works in self._health.parts().items():
            self._up.labels(part).set(works)
        state = self._keeper.snapshot()
        for name, number in asdict(state.entries).items():
            self._entries.labels(name).set(number)
        self._votes.set(state.match.votes if state.match else 0)
        self._closed.set(state.matches.closed)
        self._version.set(state.version)
        return generate_latest(self._registry)
