"""Runs a command as a watched child process with limits on its memory, its time and its output.

The parent watches the child's clock and resident memory, on every system. On Linux the kernel enforces the limits too.
The child's standard input is a pipe: the parent writes the child's input to it and then keeps it open. It closes when
the parent ends, whatever ended the parent; then the child ends itself (`processes.end_with_parent`). The child runs in
an empty folder of its own, and its environment holds what a process needs to start.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

CHUNK = 2**20  # bytes of the input written at once
MAX_OUTPUT = 2**22  # bytes; an honest report of a verse is a few kilobytes
POLL_SECONDS = 0.02  # between two looks at a child's memory, which grows by some 20 MB at most meanwhile
ADDRESS_SPACE = 2**30  # bytes mapped but not resident: libraries, and what malloc reserves and does not use
KEPT_ENVIRONMENT = ("PATH", "SYSTEMROOT", "WINDIR", "TMPDIR", "TEMP", "TMP")  # what a process needs to start
KEPT_PREFIXES = ("OPENBLAS_", "LD_", "DYLD_", "LC_", "LANG")  # a user's choice of kernel, libraries and encoding
How = Literal["exited", "memory", "time", "output", "cancelled"]
ONE_THREAD = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


class Readable(Protocol):
    """What a child's input is read from."""

    def read(self, size: int = -1, /) -> bytes:
        """Read as a file does."""


@dataclass(frozen=True)
class Limits:
    """What a child may use."""

    memory: int  # bytes, resident
    seconds: float  # of real time


@dataclass(frozen=True)
class Ending:
    """How a child ended.

    Attributes:
        how: "exited" by itself or by a signal of another process; else ended by the parent, for a limit on "memory",
            "time" or "output", or because the run was "cancelled".
        status: the exit status; a negative number is a signal, as in `subprocess`.
        output: the bytes that it wrote to standard output.
    """

    how: How
    status: int
    output: bytes


def run_watched(
    argv: Sequence[str],
    limits: Limits,
    cancelled: threading.Event | None = None,
    feed: tuple[bytes, Readable] | None = None,
) -> Ending:
    """Run a command until it ends, or kill it.

    Args:
        argv: the program and its arguments.
        limits: the child is killed when it uses more.
        cancelled: the child is killed when it is set.
        feed: what the child finds in its standard input, which then stays open: some bytes, and all of a file.

    Raises:
        OSError: The command cannot be started.
    """
    environment = {k: v for k, v in os.environ.items() if k.upper() in KEPT_ENVIRONMENT or k.startswith(KEPT_PREFIXES)}
    environment |= dict.fromkeys(ONE_THREAD, "1")
    with tempfile.TemporaryDirectory(prefix="check-", ignore_cleanup_errors=True) as folder:
        child = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            cwd=folder,
            bufsize=0,
        )
        reader, writer = _Reader(child.stdout), threading.Thread(target=_write, args=(child.stdin, feed), daemon=True)
        writer.start()
        try:
            _set_kernel_limits(child.pid, limits)
            how = _watch(child, limits, reader, cancelled or threading.Event())
        finally:  # also when the watching itself is interrupted
            child.kill()
            status = child.wait()
            reader.join()
            writer.join()
            for pipe in (child.stdin, child.stdout):
                if pipe:
                    pipe.close()
    if how == "exited" and reader.overflow:
        how = "output"
    return Ending(how, status, bytes(reader.output))


def _watch(child: subprocess.Popen[bytes], limits: Limits, reader: _Reader, cancelled: threading.Event) -> How:
    """Watch a child until it ends or must be ended."""
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
        with contextlib.suppress(psutil.Error):  # it has just ended
            # On Windows the python of a virtual environment starts the real one as its child.
            children = process.children(recursive=True) if sys.platform == "win32" else []
            if sum(part.memory_info().rss for part in (process, *children)) > limits.memory:
                return "memory"
        if reader.at_end.wait(POLL_SECONDS):  # it closed its output: it has ended, or is about to
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(POLL_SECONDS)
    return "exited"


def _write(pipe: Any, feed: tuple[bytes, Readable] | None) -> None:
    """Write a child's input. If the file cannot be read, close the input, so that the child ends."""
    if feed is None:
        return
    start, file = feed
    try:
        pipe.write(start)
        while chunk := file.read(CHUNK):
            view = memoryview(chunk)
            while view:
                view = view[pipe.write(view) :]
    except OSError:  # also if the child has ended
        with contextlib.suppress(OSError):
            pipe.close()


class _Reader(threading.Thread):
    """Reads a child's output at once, so that the child never waits for a full pipe."""

    def __init__(self, pipe: Any) -> None:
        super().__init__(daemon=True)
        self.pipe = pipe
        self.output = bytearray()
        self.overflow = False
        self.at_end = threading.Event()
        self.start()

    def run(self) -> None:
        while not self.overflow and (chunk := self.pipe.read(2**16)):
            self.output += chunk
            self.overflow = len(self.output) > MAX_OUTPUT
        self.at_end.set()


def _set_kernel_limits(pid: int, limits: Limits) -> None:
    """Let the kernel enforce the limits, on systems where this is possible for another process."""
    if sys.platform == "linux" and resource is not None:
        seconds = int(limits.seconds) + 1
        for resource_id, maximum in (
            (resource.RLIMIT_AS, limits.memory + ADDRESS_SPACE),
            (resource.RLIMIT_CPU, seconds),
            (resource.RLIMIT_FSIZE, 0),  # it writes no file
            (resource.RLIMIT_CORE, 0),
            (resource.RLIMIT_NOFILE, 64),
        ):
            with contextlib.suppress(ProcessLookupError, ValueError, PermissionError):  # ended, or limited more already
                resource.prlimit(pid, resource_id, (maximum, maximum))
