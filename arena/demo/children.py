"""The demo's child processes: each in a process group of its own, all ended with the demo."""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
from typing import Any

from arena.errors import ArenaError

STOP_SECONDS = 10.0  # that a child may take to end


class DemoError(ArenaError):
    """A part of the demo that failed."""

    code = "demo"


class Children:
    """Starts child processes, also from several threads, and ends those that run.

    Ctrl-C in a terminal reaches the demo alone, which then ends its children: otherwise each would print a message.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: list[subprocess.Popen[Any]] = []
        self._ended = False

    def start(self, command: list[str], **options: Any) -> subprocess.Popen[Any]:
        """Start a child.

        Args:
            command: the program and its arguments.
            options: of `subprocess.Popen`.

        Raises:
            DemoError: The children were ended: no new one may start.
        """
        if os.name == "posix":
            options["process_group"] = 0
        else:
            options["creationflags"] = getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0)
        with self._lock:
            if self._ended:
                raise DemoError("the demonstration has ended")
            child = subprocess.Popen(command, **options)
            self._running = [one for one in self._running if one.poll() is None] + [child]
            return child

    def run(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        """Run a child to its end, and return its status and its output."""
        child = self.start(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
        )
        output, messages = child.communicate()
        return subprocess.CompletedProcess(command, child.returncode, output, messages)

    def end(self) -> None:
        """End every child: close its input or terminate it, and kill what does not end in time."""
        with self._lock:
            self._ended = True
        for child in self._running:
            if child.stdin is not None:  # the server ends with its input, and takes its own children along
                with contextlib.suppress(OSError):
                    child.stdin.close()
            else:
                child.terminate()
        for child in self._running:
            for next_step in (child.terminate, child.kill):
                try:
                    child.wait(STOP_SECONDS)
                    break
                except subprocess.TimeoutExpired:
                    next_step()
            child.wait()
