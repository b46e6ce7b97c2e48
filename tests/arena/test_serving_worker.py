"""The worker: checks what waits, and costs nobody an entry when it dies. Real bundles, real child processes."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from arena.bootstrap import EventContext, make_event, open_event
from arena.processes import CODE_FOLDER, python_command
from arena.scheduler import Scheduler
from arena.server.supervisor import WORKER
from arena.services import entries, events, queries
from arena.services.schemas import EventRules
from arena.settings import Settings
from arena.verification.report import Report
from arena.verification.runner import Cancelled
from arena.worker import LEASE_SECONDS, Worker
from tests.support.bundles import RECIPE, Poet, random_weights
from tests.support.server import Process, within
from trainer.verse.claim import header_length

SECRET = "a-secret-of-twenty-two-letters-and-more"


@cache
def bundle(seed: int = 7, honest: bool = True) -> bytes:
    poet = Poet(random_weights(1))
    written = poet.write(replace(RECIPE, seed=seed))
    if not honest:
        written = replace(written, recipe=replace(written.recipe, seed=seed + 1))
    return poet.pack(written)


class Evening:
    """An event that takes entries, and a clock."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.now = folder, 2_000_000_000.0
        rules = EventRules(max_entries=100)
        made = make_event(folder, name="Evening", draw_word="thimble", rules=rules, now=self.now)
        self.settings: Settings = replace(made, min_free_bytes=0)
        self.event: EventContext = open_event(self.settings)
        events.open_submissions(self.event.db, now=self.now)

    def enter(self, data: bytes, secret: str = SECRET) -> str:
        db, store, key = self.event.db, self.event.store, self.settings.receipt_key
        header = data[: header_length(data[:8])]
        receipt = entries.take_claim(db, store, header, secret, "Poet", key=key, now=self.now)
        entries.take_piece(db, store, receipt.entry, secret, receipt.offset, data[receipt.offset :], now=self.now)
        return receipt.entry

    def entry(self, entry_id: str) -> Any:
        return next(one for one in queries.list_entries(self.event.db) if one.entry == entry_id)

    def worker(self, name: str = "one", **more: Any) -> Worker:
        return Worker(self.event.db, self.event.store, name=name, clock=lambda: self.now, **more)

    def work_until(self, worker: Worker, entry_id: str, *states: str) -> None:
        def done() -> bool:
            worker.step()
            return self.entry(entry_id).state in states

        assert within(60, done), self.entry(entry_id)


@pytest.fixture
def evening(tmp_path: Path) -> Iterator[Evening]:
    made = Evening(tmp_path / "event")
    yield made
    made.event.db.dispose()


def test_an_honest_verse_is_verified_and_a_forged_one_refused_with_its_reason(evening: Evening) -> None:
    honest, forged = evening.enter(bundle()), evening.enter(bundle(9, honest=False), SECRET + "-2")
    worker = evening.worker(jobs=2)
    evening.work_until(worker, honest, "verified")
    evening.work_until(worker, forged, "refused")
    assert "another verse" in evening.entry(forged).reason


def test_a_killed_worker_costs_one_lease_and_no_entry(evening: Evening) -> None:
    """A real worker process is killed in the middle of a check; after its lease another does the work."""
    entry = evening.enter(bundle())
    evening.event.db.dispose()
    stalled = "import sys, threading, time; sys.path.insert(0, sys.argv.pop(1)); import arena.worker as w;"
    stalled += "from pathlib import Path; w.Worker.__init__.__kwdefaults__['check'] = lambda *a: time.sleep(600);"
    stalled += f"w.Worker.__init__.__kwdefaults__['clock'] = lambda: {evening.now};"
    stalled += "w.run_worker(w.load_settings(Path(sys.argv[1])), 1)"
    process = Process([sys.executable, "-P", "-c", stalled, CODE_FOLDER, str(evening.folder)])
    try:
        assert within(60, lambda: evening.entry(entry).state == "verifying"), process.lines
    finally:
        process.kill()
        process.end()
    next_one = evening.worker("two")
    evening.now += LEASE_SECONDS - 1
    next_one.step()
    assert evening.entry(entry).attempt == 1, "the lease still runs"
    evening.now += 2
    evening.work_until(next_one, entry, "verified")
    assert evening.entry(entry).attempt == 2


def test_a_worker_that_is_told_to_end_gives_its_entry_back_at_once(evening: Evening) -> None:
    entry = evening.enter(bundle())

    def check(path: Path, cancelled: threading.Event) -> Report:
        assert cancelled.wait(60)
        raise Cancelled

    worker = evening.worker(check=check)
    worker.step()
    assert evening.entry(entry).state == "verifying"
    worker.stop()
    worker.run()
    assert evening.entry(entry).state == "waiting"


def test_a_check_that_breaks_off_is_tried_again_and_never_held_against_the_verse(evening: Evening) -> None:
    entry = evening.enter(bundle())

    def check(path: Path, cancelled: threading.Event) -> Report:
        raise MemoryError("of this machine")

    worker = evening.worker(check=check)
    worker.step()
    assert within(10, lambda: worker.step() or evening.entry(entry).state == "waiting")
    evening.now += 120
    evening.work_until(evening.worker("two"), entry, "verified")


def test_a_long_check_keeps_its_lease(evening: Evening, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("arena.worker.RENEW_EVERY", 0.0)
    entry, finish = evening.enter(bundle()), threading.Event()

    def check(path: Path, cancelled: threading.Event) -> Report:
        finish.wait(60)
        raise Cancelled

    worker = evening.worker(check=check)
    worker.step()
    for _ in range(5):
        evening.now += LEASE_SECONDS - 1
        worker.step()
        assert evening.worker("two").step() is None
        assert (evening.entry(entry).attempt, evening.entry(entry).worker) == (1, "one")
    finish.set()
    worker.stop()
    worker.run()


def test_a_check_that_nobody_waits_for_is_stopped(evening: Evening, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("arena.worker.RENEW_EVERY", 0.0)
    entry, stopped = evening.enter(bundle()), threading.Event()

    def check(path: Path, cancelled: threading.Event) -> Report:
        assert cancelled.wait(60)
        stopped.set()
        raise Cancelled

    worker = evening.worker(check=check)
    worker.step()
    entries.withdraw(evening.event.db, entry, SECRET, now=evening.now)
    worker.step()
    assert stopped.wait(10)
    assert within(10, lambda: worker.step() or not worker._checks)
    assert evening.entry(entry).state == "withdrawn"


def test_what_is_due_is_done_while_nothing_waits(evening: Evening) -> None:
    events.set_closing_time(evening.event.db, evening.now + 60, now=evening.now)
    evening.now += 61
    Scheduler(evening.event.db, clock=lambda: evening.now).step()
    assert events.current_event(evening.event.db).state == "closed"


def test_trouble_with_the_database_is_outlived(evening: Evening, caplog: pytest.LogCaptureFixture) -> None:
    worker = evening.worker()
    worker.step = lambda: (_ for _ in ()).throw(OSError("no space left"))  # type: ignore[method-assign]
    thread = threading.Thread(target=worker.run)
    thread.start()
    assert within(10, lambda: "tries again" in caplog.text)
    worker.stop()
    thread.join(10)
    assert not thread.is_alive()


def test_trouble_with_the_database_does_not_end_the_scheduler(
    evening: Evening, caplog: pytest.LogCaptureFixture
) -> None:
    scheduler = Scheduler(evening.event.db, clock=lambda: 1 / 0)
    thread = threading.Thread(target=scheduler.run)
    thread.start()
    assert within(10, lambda: "tries again" in caplog.text)
    assert thread.is_alive()
    scheduler.stop()
    thread.join(10)
    assert not thread.is_alive()


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_the_command_works_until_ctrl_c(evening: Evening) -> None:
    entry = evening.enter(bundle())
    command = [sys.executable, "-c", "from arena.cli import main; main()", "worker", "--dir", str(evening.folder)]
    process = Process(command)
    try:
        assert within(60, lambda: evening.entry(entry).state == "verified"), process.lines
        process.popen.send_signal(signal.SIGINT)
        assert process.popen.wait(20) == 0
        assert process.said("Traceback") is None, process.lines
    finally:
        process.end()


def test_the_attached_worker_ends_when_its_input_closes(evening: Evening) -> None:
    import subprocess

    process = Process(python_command(WORKER, str(evening.folder), "1"), stdin=subprocess.PIPE)
    try:
        entry = evening.enter(bundle())
        assert within(60, lambda: evening.entry(entry).state == "verified"), process.lines
        assert process.popen.stdin is not None
        process.popen.stdin.close()
        assert process.popen.wait(10) in (0, 1)
    finally:
        process.end()
