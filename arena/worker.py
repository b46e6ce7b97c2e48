"""Works through what an event has to do by itself: checks bundles that wait, and closes what is due.

Each bundle is checked in a watched child process of its own. The entry's row says who has it: a worker that dies costs
one lease, and the next takes the entry. Whatever keeps a check from being done gives the entry back.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from arena.bootstrap import BundleStore, open_event
from arena.processes import end_with_parent
from arena.services import bracket, verification
from arena.services.schemas import Job
from arena.settings import load_settings
from arena.verification.check import Report
from arena.verification.runner import Cancelled, available_cores, verify_file

LEASE_SECONDS = 30.0  # how long a worker may be silent before another takes its entry
RENEW_EVERY = LEASE_SECONDS / 5  # seconds; a few may fail
DUE_EVERY = 1.0  # seconds between two looks for what is due
LOOK_EVERY = 0.25  # seconds between two looks for an entry that waits
AFTER_TROUBLE = 1.0  # seconds of rest when the database cannot be used
PARTING = 0.7  # seconds to give entries back when the main process is gone; then this one ends, ready or not
log = logging.getLogger(__name__)


@dataclass
class Check:
    """One bundle being checked."""

    job: Job
    thread: threading.Thread
    cancelled: threading.Event
    renewed: float  # seconds, monotonic
    report: Report | None = None  # set when it is done
    given_up: bool = False


class Worker:
    """Checks several bundles at once, and does what is due."""

    def __init__(
        self,
        db: Any,
        store: BundleStore,
        *,
        name: str,
        jobs: int = 1,
        clock: Callable[[], float] = time.time,
        check: Callable[[Path, threading.Event], Report] = verify_file,
    ) -> None:
        """
        Args:
            db: the database's sessions, as `services` takes them.
            name: told to the organizer, who may have several workers.
            jobs: bundles checked at once.
            clock: seconds since the epoch.
            check: checks one file; stops when the event is set.
        """
        self._db, self._store, self._name, self._jobs = db, store, name, jobs
        self._clock, self._check = clock, check
        self._checks: list[Check] = []
        self._wake = threading.Event()
        self._stopping = False
        self._due_next = 0.0  # seconds, monotonic

    def run(self) -> None:
        """Work until `stop` is called; then give back what is not done."""
        try:
            while not self._stopping:
                try:
                    self.step()
                except Exception:  # a full disk, a database that is locked: the evening goes on when it is over
                    log.exception("the worker could not do its work, and tries again")
                    self._rest(AFTER_TROUBLE)
                else:
                    self._rest(LOOK_EVERY)
        finally:
            self.give_back()

    def stop(self) -> None:
        """Let `run` come to its end. From any thread."""
        self._stopping = True
        self._wake.set()

    def step(self) -> None:
        """Do what is due, record what is done, take what waits. `run` does so again and again."""
        moment = time.monotonic()
        if moment >= self._due_next:
            self._due_next = moment + DUE_EVERY
            bracket.close_due(self._db, now=self._clock())
        for check in list(self._checks):
            self._look_at(check, moment)
        while len(self._checks) < self._jobs and not self._stopping:
            job = verification.claim_next(self._db, worker=self._name, lease_seconds=LEASE_SECONDS, now=self._clock())
            if job is None:
                break
            self._begin(job)

    def give_back(self) -> None:
        """Stop every check, and release its entry to whoever comes next."""
        for check in self._checks:
            check.cancelled.set()
        for check in self._checks:
            check.thread.join()
            if check.report is not None:
                verification.record_verdict(self._db, check.job, check.report, now=self._clock())
            elif not check.given_up:
                verification.release(self._db, check.job, "the server was stopped", now=self._clock())
        self._checks.clear()

    def _begin(self, job: Job) -> None:
        cancelled = threading.Event()
        check = Check(job, threading.Thread(), cancelled, time.monotonic())
        check.thread = threading.Thread(target=self._run_check, args=(check,), name=f"check-{job.entry[:8]}")
        self._checks.append(check)
        check.thread.start()

    def _run_check(self, check: Check) -> None:
        try:
            check.report = self._check(self._store.path(check.job.bundle), check.cancelled)
        except Cancelled:
            pass
        except Exception as error:  # ours, not the bundle's
            log.exception("the check of entry %s broke off", check.job.entry)
            check.report = Report("ERROR", code="crash", reason=f"the check broke off: {type(error).__name__}")
        finally:
            self._wake.set()

    def _look_at(self, check: Check, moment: float) -> None:
        if not check.thread.is_alive():
            if check.report is not None:
                verification.record_verdict(self._db, check.job, check.report, now=self._clock())
            self._checks.remove(check)
        elif moment - check.renewed >= RENEW_EVERY and not check.given_up:
            check.renewed = moment
            if not verification.renew(self._db, check.job, lease_seconds=LEASE_SECONDS, now=self._clock()):
                check.given_up = True  # withdrawn, or another worker has it: nobody waits for this verdict
                check.cancelled.set()

    def _rest(self, seconds: float) -> None:
        self._wake.wait(seconds)
        if not self._stopping:
            self._wake.clear()


def work(folder: Path, jobs: int = 0, ready: Callable[[Worker], None] = lambda worker: None) -> None:
    """Open an event and work for it until stopped.

    Args:
        jobs: bundles checked at once; 0: as many as there are cores, less one.
        ready: is given the worker before it starts.

    Raises:
        ArenaError: there is no such event.
    """
    settings = load_settings(folder)
    event = open_event(settings.database_url, settings.dir, settings.min_free_bytes)
    name = f"{socket.gethostname()[:40]}-{os.getpid()}"
    worker = Worker(event.db, event.store, name=name, jobs=jobs or max(1, available_cores() - 1))
    ready(worker)
    worker.run()


def run_as_child() -> None:
    """The whole life of the worker that `arena serve` starts: it ends when its standard input does."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to everybody; the main process tells us
    work(Path(sys.argv[1]), int(sys.argv[2]), ready=lambda worker: end_with_parent(worker.stop, seconds=PARTING))
