"""Checks waiting bundles, each in a watched child process.

The entry's row names the worker that has it. If that dies, the next worker on its host takes its entries at once, and
workers on other hosts when the lease has ended. When a check cannot be done, the entry waits again.

All checks under way on one host, of all workers of an event, share one memory budget. A worker of several checks keeps
one place free for quick ones, so that a few dear bundles delay nobody else.
"""

from __future__ import annotations

import logging
import os
import socket
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

from arena import logs
from arena.bootstrap import BundleStore, Database, open_event
from arena.errors import ArenaError
from arena.processes import end_with_parent
from arena.scheduler import Scheduler
from arena.services import verification
from arena.services.schemas import Job
from arena.settings import Settings, load_settings
from arena.verification.report import Report, failed
from arena.verification.runner import Cancelled, available_cores, half_of_free_memory, verify_file

HEARTBEAT_SECONDS = 1.0  # between two heartbeats
LEASE_SECONDS = 30.0  # how long a worker may be silent before another takes its entry
RENEW_EVERY = LEASE_SECONDS / 5  # seconds; a few renewals may fail
POLL_SECONDS = 0.25  # between two looks for a waiting entry
RETRY_SECONDS = 1.0  # before the next attempt when the database cannot be used
STOP_SECONDS = 0.7  # to give entries back when the parent has ended; then this process ends in any case
log = logging.getLogger(__name__)


@dataclass
class Check:
    """One bundle that is being checked."""

    job: Job
    thread: threading.Thread
    cancelled: threading.Event
    started_at: float  # seconds since the epoch
    renewed_at: float  # seconds since the epoch
    report: Report | None = None  # set when the check is done
    lease_lost: bool = False
    overrun: bool = False  # it takes much longer than expected, and is stopped


class Worker:
    """Checks several bundles at the same time."""

    def __init__(
        self,
        db: Database,
        bundles: BundleStore,
        *,
        name: str,
        jobs: int = 1,
        memory: int | None = None,
        clock: Callable[[], float] = time.time,
        check: Callable[[Path, threading.Event], Report] = verify_file,
        heartbeat: Path | None = None,
    ) -> None:
        """Create a worker; `run` starts it.

        Args:
            db: the event's database.
            bundles: the event's bundles.
            name: shown to the organizer, who may have several workers.
            jobs: bundles checked at the same time.
            memory: bytes that all checks of the event may use together; None: any.
            clock: seconds since the epoch.
            check: checks one file, and stops when the event is set.
            heartbeat: a file that `run` writes again and again, with what is wrong; None: none.
        """
        self._db, self._bundles, self._name, self.jobs = db, bundles, name, jobs
        self.memory, self._clock, self._check = memory, clock, check
        self._heartbeat, self._beat_at = heartbeat, 0.0  # on the monotonic clock
        self._checks: list[Check] = []
        self._wake = threading.Event()
        self._stopping = False

    def run(self) -> None:
        """Check bundles until `stop` is called; then give back the entries that have no verdict."""
        try:
            while not self._stopping:
                try:
                    self.step()
                except Exception as error:  # a full disk or a locked database: the event goes on afterwards
                    log.error("the worker tries again: %s", error, exc_info=not isinstance(error, ArenaError))
                    self._beat(f"verses are not checked now, and it is tried again every second: {error}")
                    self._wait(RETRY_SECONDS)
                else:
                    self._beat("")
                    self._wait(POLL_SECONDS)
        finally:
            self.give_back()

    def stop(self) -> None:
        """Make `run` return. Any thread may call it."""
        self._stopping = True
        self._wake.set()

    def step(self) -> None:
        """Record the verdicts that are ready, renew leases, and take waiting entries."""
        now = self._clock()
        for check in list(self._checks):
            self._update(check, now)
        while len(self._checks) < self.jobs and not self._stopping:
            job = verification.claim_next(
                self._db,
                worker=self._name,
                lease_seconds=LEASE_SECONDS,
                memory=self.memory,
                quick=self._only_quick(),
                now=self._clock(),
            )
            if job is None:
                break
            self._start(job)

    def give_back(self) -> None:
        """Stop every check, and release its entry for the next worker."""
        for check in self._checks:
            check.cancelled.set()
        for check in self._checks:
            check.thread.join()
            if check.report is not None:
                verification.record_verdict(self._db, check.job, check.report, now=self._clock())
            elif not check.lease_lost:
                verification.release(self._db, check.job, "the server was stopped", now=self._clock())
        self._checks.clear()

    def _only_quick(self) -> bool:
        """Whether the last free place is to be kept for quick checks."""
        dear = sum(check.job.cost > verification.QUICK_SECONDS for check in self._checks)
        return 1 < self.jobs <= dear + 1

    def _start(self, job: Job) -> None:
        now = self._clock()
        check = Check(job, threading.Thread(), threading.Event(), now, now)
        check.thread = threading.Thread(target=self._run_check, args=(check,), name=f"check-{job.entry[:8]}")
        self._checks.append(check)
        check.thread.start()

    def _run_check(self, check: Check) -> None:
        try:
            if self._bundles.is_whole(check.job.bundle):
                check.report = self._check(self._bundles.local_copy(check.job.bundle), check.cancelled)
            else:
                check.report = failed("unreadable", "its bytes are not those that were sent; this disk has lost them")
        except Cancelled:
            pass
        except Exception as error:  # a fault of this program, not of the bundle
            log.exception("the check of entry %s failed", check.job.entry)
            check.report = failed("crash", type(error).__name__)
        finally:
            self._wake.set()

    def _update(self, check: Check, now: float) -> None:
        if not check.thread.is_alive():
            if check.report is not None:
                verification.record_verdict(self._db, check.job, check.report, now=now)
            elif check.overrun:
                verification.postpone(self._db, check.job, now=now)
            self._checks.remove(check)
        elif self._is_overrun(check, now):
            check.overrun = True
            check.cancelled.set()
        elif now - check.renewed_at >= RENEW_EVERY and not check.lease_lost:
            check.renewed_at = now
            if not verification.renew(self._db, check.job, lease_seconds=LEASE_SECONDS, now=now):
                check.lease_lost = True  # withdrawn, or another worker has it: nobody waits for this verdict
                check.cancelled.set()

    def _is_overrun(self, check: Check, now: float) -> bool:
        """Whether a check takes the place of quick ones for too long."""
        quick = check.job.cost <= verification.QUICK_SECONDS
        return self.jobs > 1 and quick and now - check.started_at > verification.OVERRUN_SECONDS

    def _beat(self, problem: str) -> None:
        if self._heartbeat is not None and time.monotonic() - self._beat_at >= HEARTBEAT_SECONDS:
            self._beat_at = time.monotonic()
            try:
                self._heartbeat.write_text(problem, "utf-8")
            except OSError as error:  # a full disk: the checks go on
                log.error("the file %s cannot be written: %s", self._heartbeat, error)

    def _wait(self, seconds: float) -> None:
        self._wake.wait(seconds)
        if not self._stopping:
            self._wake.clear()


def read_heartbeat(path: Path) -> tuple[float, str]:
    """Return when a worker last wrote its heartbeat, in seconds since the epoch, and what was wrong then."""
    try:
        return path.stat().st_mtime, path.read_text("utf-8", "replace")
    except OSError:
        return 0.0, ""


def run_worker(
    settings: Settings,
    jobs: int | None = None,
    ready: Callable[[Worker], None] = lambda worker: None,
    heartbeat: Path | None = None,
) -> None:
    """Open an event, check its bundles and close what is due, until interrupted or stopped.

    Args:
        settings: the event's.
        jobs: bundles checked at the same time; None: the number of cores less one, and at least two.
        ready: called with the worker before it starts.
        heartbeat: a file that is written again and again; None: none.

    Raises:
        DatabaseTooNew: A later version wrote the event's database.
        DatabaseUnusable: The database cannot be opened.
    """
    event = open_event(settings)
    host = socket.gethostname()[:40]
    verification.end_dead_leases(event.db, host=host, is_alive=psutil.pid_exists, now=event.clock())
    worker = Worker(
        event.db,
        event.bundles,
        name=f"{host}-{os.getpid()}",
        jobs=jobs or max(2, available_cores() - 1),
        memory=settings.check_memory_bytes or half_of_free_memory(),
        clock=event.clock,
        heartbeat=heartbeat,
    )
    scheduler = Scheduler(event.db, event.spool, clock=event.clock)
    thread = threading.Thread(target=scheduler.run, name="scheduler")
    ready(worker)
    thread.start()
    try:
        worker.run()
    finally:
        scheduler.stop()
        thread.join()
        event.close()


def run_as_child() -> None:
    """Run the worker that `arena serve` starts, until its standard input ends. Arguments: folder, jobs."""
    jobs = int(sys.argv[2]) or None
    try:
        logs.configure()
        settings = load_settings(Path(sys.argv[1]))
        run_worker(
            settings, jobs, lambda worker: end_with_parent(worker.stop, seconds=STOP_SECONDS), settings.heartbeat
        )
    except ArenaError as error:
        sys.exit(f"the verification process has ended: {error}")
