"""Runs a command as a watched child process: it cannot outgrow, outlast or outlive what its parent allows.

The parent looks at the child's clock and resident memory, on every system. On Linux the kernel enforces the limits too.
A child is started with its standard input on a pipe that nobody writes to: when it closes, the parent is gone, and the
child ends itself (`processes.end_with_parent`), whatever killed the parent.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

if sys.platform == "linux":
    import resource

MAX_OUTPUT = 2**22  # bytes; an honest report of a verse is a few kilobytes
LOOK_EVERY = 0.02  # seconds between two looks at a child's memory: it grows by some 20 MB at most between them
ADDRESS_SPACE = 2**30  # bytes mapped beyond those resident: libraries, and arenas that malloc reserves and leaves alone
KEPT_ENVIRONMENT = ("PATH", "SYSTEMROOT", "WINDIR", "TMPDIR", "TEMP", "TMP")  # what a process needs to start
KEPT_PREFIXES = ("OPENBLAS_", "LD_", "DYLD_", "LC_", "LANG")  # a user's choice of kernel, libraries and encoding
ONE_THREAD = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


@dataclass(frozen=True)
class Limits:
    """What a child may use."""

    memory: int  # bytes resident
    seconds: float  # by the clock on the wall


@dataclass(frozen=True)
class Ending:
    """How a child ended.

    Attributes:
        how: "exited" by itself or by a signal from elsewhere; else ended by us, for its "memory", "time" or "output",
            or because the run was "cancelled".
        status: exit status; a negative number is a signal, as in `subprocess`.
        output: what it wrote to standard output.
    """

    how: Literal["exited", "memory", "time", "output", "cancelled"]
    status: int
    output: bytes


def run_watched(argv: Sequence[str], limits: Limits, cancelled: threading.Event | None = None) -> Ending:
    """Run a command to its end, or end it.

    Args:
        argv: the program and its arguments; its standard input stays open and empty.
        limits: beyond them the child is killed.
        cancelled: when set, the child is killed.

    Raises:
        OSError: the command cannot be started.
    """
    environment = {k: v for k, v in os.environ.items() if k.upper() in KEPT_ENVIRONMENT or k.startswith(KEPT_PREFIXES)}
    environment |= dict.fromkeys(ONE_THREAD, "1")
    child = subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
    )
    reader = _Reader(child.stdout)
    try:
        _limit(child.pid, limits)
        how = _watch(child, limits, reader, cancelled or threading.Event())
    finally:  # also when the watching itself is interrupted
        child.kill()
        status = child.wait()
        reader.join()
        for pipe in (child.stdin, child.stdout):
            if pipe:
                pipe.close()
    if how == "exited" and reader.overflow:
        how = "output"
    return Ending(how, status, bytes(reader.output))


def _watch(
    child: subprocess.Popen[bytes], limits: Limits, reader: _Reader, cancelled: threading.Event
) -> Literal["exited", "memory", "time", "output", "cancelled"]:
    """Look at the child until it ends or must be ended."""
    import psutil  # here, so that a child that uses this module starts without it

    process = psutil.Process(child.pid)
    deadline = time.monotonic() + limits.seconds
    while child.poll() is None:
        if cancelled.is_set():
            return "cancelled"
        if reader.overflow:
            return "output"
        if time.monotonic() > deadline:
            return "time"
        with contextlib.suppress(psutil.Error):  # it ended between two looks
            # On Windows the python of a virtual environment starts the real one as its child.
            both = process.children(recursive=True) if sys.platform == "win32" else []
            if sum(one.memory_info().rss for one in (process, *both)) > limits.memory:
                return "memory"
        if reader.at_end.wait(LOOK_EVERY):  # it closed its output: it has ended, or is about to
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(LOOK_EVERY)
    return "exited"


class _Reader(threading.Thread):
    """Reads a child's output as it comes, so that a full pipe never holds it up."""

    def __init__(self, pipe: Any) -> None:
        super().__init__(daemon=True)
        self.pipe = pipe
        self.output = bytearray()
        self.overflow = False
        self.at_end = threading.Event()
        self.start()

    def run(self) -> None:
        while not self.overflow and (chunk := self.pipe.read1(2**16)):
            self.output += chunk
            self.overflow = len(self.output) > MAX_OUTPUT
        self.at_end.set()


def _limit(pid: int, limits: Limits) -> None:
    """Let the kernel enforce the limits, where it can for another process."""
    if sys.platform == "linux":
        seconds = int(limits.seconds) + 1
        for what, most in (
            (resource.RLIMIT_AS, limits.memory + ADDRESS_SPACE),
            (resource.RLIMIT_CPU, seconds),
            (resource.RLIMIT_FSIZE, 0),  # it writes no file
            (resource.RLIMIT_CORE, 0),
            (resource.RLIMIT_NOFILE, 64),
        ):
            with contextlib.suppress(ProcessLookupError, ValueError, PermissionError):  # gone, or limited more already
                resource.prlimit(pid, what, (most, most))
