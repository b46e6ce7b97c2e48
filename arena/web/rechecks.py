"""Verses that the console has verified again, one after another; what was found counts once the organizer says so."""

from __future__ import annotations

import logging
import threading
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from arena.bootstrap import BundleStore
from arena.errors import ArenaError
from arena.services.rechecks import CheckedEntry
from arena.services.verification import reason_of_report
from arena.verification.report import Report
from arena.verification.runner import verify_files

log = logging.getLogger(__name__)
UNREADABLE = "could not be checked: its file in bundles is missing or damaged"


@dataclass(frozen=True)
class Recheck:
    """An entry that is verified again."""

    entry: CheckedEntry
    report: Report | None = None  # None: not yet, or it could not be done
    problem: str = ""  # why it could not be done

    @property
    def is_done(self) -> bool:
        """Whether nothing more is to come."""
        return self.report is not None or bool(self.problem)

    @property
    def after(self) -> str:
        """The state that the entry would have."""
        return self.entry.state if self.report is None else self.entry.state_after(self.report)

    @property
    def would_change(self) -> bool:
        """Whether the entry's state would be another one."""
        return self.after != self.entry.state

    @property
    def says(self) -> str:
        """What was found, in one line; untrusted text."""
        if self.report is None:
            return self.problem or "is being verified again"
        if self.report.verdict == "ERROR":
            return f"could not be checked: {self.report.reason}"
        if not self.would_change:
            return f"{self.report.verdict}: no change"
        return f"{self.report.verdict}: {self.entry.state} → {self.after}. {reason_of_report(self.report)}".strip()


class Rechecks:
    """Verifies entries again in a thread, each in a child process. The results stay until the server ends."""

    def __init__(self, bundles: BundleStore) -> None:
        """Make it; its thread starts with the first entry."""
        self._bundles = bundles
        self._found: dict[str, Recheck] = {}
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def add(self, entries: Sequence[CheckedEntry]) -> None:
        """Verify entries again. One that waits or was verified again already is verified once more."""
        with self._lock:
            self._found |= {one.entry: Recheck(one) for one in entries}
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="rechecks", daemon=True)
                self._thread.start()

    def found(self) -> list[Recheck]:
        """Return all of them, in the order in which they were added."""
        with self._lock:
            return list(self._found.values())

    def forget(self, entry_ids: Collection[str]) -> None:
        """Forget entries, also those that wait."""
        with self._lock:
            for entry_id in entry_ids:
                self._found.pop(entry_id, None)

    def _run(self) -> None:
        while True:
            with self._lock:
                job = next((one for one in self._found.values() if not one.is_done), None)
                if job is None:
                    self._thread = None
                    return
            done = self._verify(job)
            with self._lock:
                if self._found.get(job.entry.entry) is job:  # else it was forgotten, or added again
                    self._found[job.entry.entry] = done

    def _verify(self, job: Recheck) -> Recheck:
        digest = job.entry.bundle
        try:
            if not self._bundles.is_whole(digest):
                return replace(job, problem=UNREADABLE)
            [report] = verify_files([self._bundles.local_copy(digest)], 1)
        except (ArenaError, OSError) as error:
            return replace(job, problem=f"could not be checked: {error}")
        except Exception as error:  # the others still wait for this thread
            log.exception("entry %s could not be verified again", job.entry.entry[:8])
            return replace(job, problem=f"could not be checked ({type(error).__name__}): arena serve says more")
        return replace(job, report=report)
