"""Keeps the verification process running beside the server."""

from __future__ import annotations

import logging
import subprocess
import threading

from arena.processes import python_command
from arena.settings import Settings

STOP_SECONDS = 3.0  # that the verification process may take to end
CHECK_SECONDS = 0.2  # between two looks at the process
RESTART_SECONDS = 1.0  # before a process that died is started again
WORKER = "arena.worker:run_as_child"
log = logging.getLogger(__name__)


class Supervisor:
    """Starts the verification process, restarts it when it dies, and ends it."""

    def __init__(self, settings: Settings, jobs: int | None) -> None:
        self._command = python_command(WORKER, str(settings.dir), str(jobs or 0), ignore_interrupt=True)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="supervisor", daemon=True)

    def start(self) -> None:
        """Start the process, and a thread that watches it."""
        self._thread.start()

    def stop(self) -> None:
        """End the process, and wait until it has ended."""
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.is_set():
            child = subprocess.Popen(self._command, stdin=subprocess.PIPE)
            while child.poll() is None:
                if self._stop.wait(CHECK_SECONDS):
                    _end(child)
                    return
            log.error("the verification process ended with status %s; starting it again", child.returncode)
            self._stop.wait(RESTART_SECONDS)


def _end(child: subprocess.Popen[bytes]) -> None:
    """Close a child's standard input, at which it ends; kill it if it takes too long."""
    try:
        child.communicate(timeout=STOP_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
