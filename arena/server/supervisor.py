"""Keeps the verification process running beside the server."""

from __future__ import annotations

import contextlib
import logging
import subprocess
import threading

from arena.processes import python_command
from arena.settings import Settings

STOP_SECONDS = 3.0  # that the verification process may take to end
RESTART_SECONDS = 1.0  # before a process that died is started again
WORKER = "arena.worker:run_as_child"
log = logging.getLogger(__name__)


class Supervisor:
    """Starts the verification process, restarts it when it dies, and ends it."""

    def __init__(self, settings: Settings, jobs: int | None) -> None:
        self._command = python_command(WORKER, str(settings.dir), str(jobs or 0))
        self._stop = threading.Event()
        self._child: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._watch, name="supervisor", daemon=True)

    def start(self) -> None:
        """Start the process, and a thread that watches it."""
        self._thread.start()

    def stop(self) -> None:
        """End the process by closing its standard input, and wait until it has ended."""
        self._stop.set()
        child = self._child
        if child is not None and child.stdin is not None:
            with contextlib.suppress(OSError):
                child.stdin.close()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.is_set():
            self._child = subprocess.Popen(self._command, stdin=subprocess.PIPE)
            while self._child.poll() is None and not self._stop.is_set():
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._child.wait(0.2)
            if self._stop.is_set():
                break
            log.error("the verification process ended with status %s; starting it again", self._child.returncode)
            self._stop.wait(RESTART_SECONDS)
        if self._child is not None:
            if self._child.stdin is not None:
                with contextlib.suppress(OSError):
                    self._child.stdin.close()
            try:
                self._child.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._child.kill()
                self._child.wait()
