"""The worker that verifies entries: leases, crashes, cancellation, with real bundles and child processes."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from sqlalchemy import select

from arena.clock import EventClock
from arena.processes import python_command
from arena.scheduler import Scheduler
from arena.server.supervisor import WORKER
from arena.services import entries, events, queries
from arena.services.schemas import ConsoleEntry
from arena.services.verification import end_dead_leases
from arena.store.schema import Entry, Verification
from arena.verification.report import Report
from arena.verification.runner import Cancelled, verify_file
from arena.worker import LEASE_SECONDS, RENEW_EVERY, Worker, run_worker
from tests.support.bundles import forged_verse, verse
from tests.support.evening import Evening, secret_of
from tests.support.server import Process, within

STALLED_WORKER = """
import sys, time
from pathlib import Path
from arena.bootstrap import open_event
from arena.settings import load_settings
from arena.worker import Worker
folder, now = Path(sys.argv[1]), float(sys.argv[2])
event = open_event(load_settings(folder))
Worker(event.db, event.bundles, name="stalled", clock=lambda: now, check=lambda *_: time.sleep(600)).run()
"""


@pytest.fixture
def evening(tmp_path: Path) -> Iterator[Evening]:
    """An event that takes entries."""
    evening = Evening(tmp_path / "event").begin()
    yield evening
    evening.end()


def entry_of(evening: Evening, entry_id: str) -> ConsoleEntry:
    return next(entry for entry in queries.list_entries(evening.db) if entry.entry == entry_id)


def worker_of(evening: Evening, name: str = "one", **more: Any) -> Worker:
    return Worker(evening.db, evening.bundles, name=name, clock=lambda: evening.now, **more)


def work_until(evening: Evening, worker: Worker, entry_id: str, *states: str) -> None:
    def done() -> bool:
        worker.step()
        return entry_of(evening, entry_id).state in states

    assert within(60, done), entry_of(evening, entry_id)


def test_an_honest_verse_is_verified_and_a_forged_one_refused_with_its_reason(evening: Evening) -> None:
    honest, forged = evening.enter("ann", verse(7)), evening.enter("eve", forged_verse(9))
    worker = worker_of(evening, jobs=2)
    work_until(evening, worker, honest, "verified")
    work_until(evening, worker, forged, "refused")
    assert "another verse" in entry_of(evening, forged).reason


@pytest.mark.slow
def test_a_killed_worker_costs_one_lease_and_no_entry(evening: Evening) -> None:
    """A real worker process is killed in the middle of a check; after its lease another does the work."""
    entry = evening.enter("ann", verse(7))
    process = Process([sys.executable, "-c", STALLED_WORKER, str(evening.folder), str(evening.now)])
    try:
        assert within(60, lambda: entry_of(evening, entry).state == "verifying"), process.output
    finally:
        process.kill()
        process.end()
    next_one = worker_of(evening, "two")
    evening.now += LEASE_SECONDS - 1
    next_one.step()
    assert entry_of(evening, entry).attempt == 1, "the lease still runs"
    evening.now += 2
    work_until(evening, next_one, entry, "verified")
    assert entry_of(evening, entry).attempt == 2


def test_the_next_worker_of_a_host_takes_what_a_dead_one_had_at_once_and_of_other_hosts_nothing(
    evening: Evening,
) -> None:
    names = {"here-11": "taken", "here-12": "alive", "there-13": "another host's", "here": "no number", "here-x": "too"}
    held = {}
    for number, name in enumerate(names):
        held[name] = evening.enter(f"poet{number}", verse(number))
        job = evening.lease(name)
        assert job is not None and job.entry == held[name]
    alive = {12, 13}
    assert end_dead_leases(evening.db, host="here", is_alive=alive.__contains__, now=evening.now) == 1
    job = evening.lease("here-14")
    assert job is not None and (job.entry, job.attempt) == (held["here-11"], 2)
    assert evening.lease("here-14") is None


@pytest.mark.slow
def test_what_a_killed_process_was_checking_is_verified_without_waiting_for_its_lease(tmp_path: Path) -> None:
    evening = Evening(tmp_path / "event", now=None).begin()
    name = "socket.gethostname()[:40] + '-' + str(os.getpid())"
    stalled = STALLED_WORKER.replace('"stalled"', name).replace("lambda: now", "time.time")
    entry = evening.enter("ann", verse(7))
    process = Process([sys.executable, "-c", f"import os, socket\n{stalled}", str(evening.folder), "0"])
    assert within(60, lambda: entry_of(evening, entry).state == "verifying"), process.output
    process.kill()
    process.end()
    with evening.db.reading() as session:
        lease_until = session.scalars(select(Entry.lease_until)).one()
    started: list[Worker] = []
    thread = threading.Thread(target=run_worker, args=(evening.settings, 1, started.append))
    thread.start()
    assert within(60, lambda: entry_of(evening, entry).state == "verified")
    started[0].stop()
    thread.join()
    assert entry_of(evening, entry).attempt == 2
    with evening.db.reading() as session:
        first, second = session.scalars(select(Verification).order_by(Verification.attempt)).all()
    assert first.verdict == "LOST" and lease_until is not None and second.started_at < lease_until
    evening.end()


def test_a_worker_that_is_told_to_end_gives_its_entry_back_at_once(evening: Evening) -> None:
    entry = evening.enter("ann", verse(7))

    def check(path: Path, cancelled: threading.Event) -> Report:
        assert cancelled.wait(60)
        raise Cancelled

    worker = worker_of(evening, check=check)
    worker.step()
    assert entry_of(evening, entry).state == "verifying"
    worker.stop()
    worker.run()
    assert entry_of(evening, entry).state == "waiting"


def test_a_check_that_breaks_off_is_tried_again_and_never_held_against_the_verse(evening: Evening) -> None:
    entry = evening.enter("ann", verse(7))

    def check(path: Path, cancelled: threading.Event) -> Report:
        raise MemoryError("of this machine")

    worker = worker_of(evening, check=check)
    worker.step()
    assert within(10, lambda: worker.step() or entry_of(evening, entry).state == "waiting")
    evening.now += 120
    work_until(evening, worker_of(evening, "two"), entry, "verified")


def test_a_long_check_keeps_its_lease(evening: Evening) -> None:
    entry, finish = evening.enter("ann", verse(7)), threading.Event()

    def check(path: Path, cancelled: threading.Event) -> Report:
        finish.wait(60)
        raise Cancelled

    worker = worker_of(evening, check=check)
    worker.step()
    for _ in range(5):
        evening.now += LEASE_SECONDS - 1
        worker.step()
        assert worker_of(evening, "two").step() is None
        assert (entry_of(evening, entry).attempt, entry_of(evening, entry).worker) == (1, "one")
    finish.set()
    worker.stop()
    worker.run()


def test_a_check_that_nobody_waits_for_is_stopped_and_the_next_entry_is_checked(evening: Evening) -> None:
    withdrawn, stopped = evening.enter("ann", verse(7)), threading.Event()

    def check(path: Path, cancelled: threading.Event) -> Report:
        if stopped.is_set():
            return verify_file(path, cancelled)
        assert cancelled.wait(60)
        stopped.set()
        raise Cancelled

    worker = worker_of(evening, jobs=1, check=check)
    worker.step()
    entries.withdraw(evening.db, withdrawn, secret_of("ann"), now=evening.now)
    evening.now += RENEW_EVERY
    worker.step()
    assert stopped.wait(10)
    work_until(evening, worker, evening.enter("bob", verse(8)), "verified")
    assert entry_of(evening, withdrawn).state == "withdrawn"


def test_the_scheduler_closes_submissions_on_time_while_no_entry_waits(evening: Evening) -> None:
    events.set_closing_time(evening.db, evening.now + 60, now=evening.now)
    evening.now += 61
    Scheduler(evening.db, evening.spool, clock=evening.clock).step()
    assert events.current_event(evening.db).state == "closed"


def test_a_failing_database_does_not_end_the_worker(evening: Evening, caplog: pytest.LogCaptureFixture) -> None:
    worker = worker_of(evening)
    worker.step = lambda: (_ for _ in ()).throw(OSError("no space left"))  # type: ignore[method-assign]
    thread = threading.Thread(target=worker.run)
    thread.start()
    assert within(10, lambda: "tries again" in caplog.text)
    worker.stop()
    thread.join(10)
    assert not thread.is_alive()


def test_a_failing_database_does_not_end_the_scheduler(evening: Evening, caplog: pytest.LogCaptureFixture) -> None:
    scheduler = Scheduler(evening.db, evening.spool, clock=EventClock(wall=lambda: 1 / 0))
    thread = threading.Thread(target=scheduler.run)
    thread.start()
    assert within(10, lambda: "tries again" in caplog.text)
    assert thread.is_alive()
    scheduler.stop()
    thread.join(10)
    assert not thread.is_alive()


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_the_command_works_until_ctrl_c(evening: Evening) -> None:
    entry = evening.enter("ann", verse(7))
    command = [sys.executable, "-c", "from arena.cli import main; main()", "worker", "--dir", str(evening.folder)]
    process = Process(command)
    try:
        assert within(60, lambda: entry_of(evening, entry).state == "verified"), process.output
        process.popen.send_signal(signal.SIGINT)
        assert process.popen.wait(20) == 0
        assert process.said("Traceback") is None, process.output
    finally:
        process.end()


@pytest.mark.slow
def test_the_attached_worker_ends_when_its_input_closes(evening: Evening) -> None:
    import subprocess

    process = Process(python_command(WORKER, str(evening.folder), "1"), stdin=subprocess.PIPE)
    try:
        entry = evening.enter("ann", verse(7))
        assert within(60, lambda: entry_of(evening, entry).state == "verified"), process.output
        assert process.popen.stdin is not None
        process.popen.stdin.close()
        assert process.popen.wait(10) in (0, 1)
    finally:
        process.end()


def test_a_worker_checks_two_at_once_within_half_of_the_free_memory_or_what_is_set(evening: Evening) -> None:
    made: list[Worker] = []

    def ready(worker: Worker) -> None:
        made.append(worker)
        worker.stop()

    run_worker(evening.settings, ready=ready)
    run_worker(replace(evening.settings, check_memory_bytes=10**9), jobs=3, ready=ready)
    half = psutil.virtual_memory().total / 2
    assert made[0].jobs >= 2 and made[0].memory and 0 < made[0].memory <= half
    assert (made[1].jobs, made[1].memory) == (3, 10**9)
