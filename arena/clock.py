"""The event's clock: seconds since the epoch that no change of the computer's clock moves, nor its sleep.

A match of a minute takes a minute. So the server starts from the computer's clock and from then on counts the seconds
that the computer is awake, which no user and no time server changes. Where it started is kept in the event's folder,
since the server, its worker and every command must count alike. It holds until the computer starts again.

An event of several hosts goes by the clock of their database instead, since a match closes once for all of them.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

from arena.errors import ArenaError
from trainer.verse import strictjson
from trainer.verse.files import write_atomically

TOLERANCE = 5.0  # seconds by which the two clocks may differ before anybody is told
ASK_SECONDS = 10.0  # between two questions for another computer's time
QUICK_SECONDS = 1.0  # in which an answer must come to be believed: it is exact to half of them


@dataclass(frozen=True)
class Anchor:
    """A moment by both clocks."""

    time: float  # seconds since the epoch
    awake: float  # seconds that the computer has been awake since it started
    boot: str  # which start of the computer that was


class EventClock:
    """Tells the event's time, and how far the computer's clock has gone ahead of it."""

    def __init__(
        self,
        path: Path | None = None,
        *,
        wall: Callable[[], float] | None = None,
        awake: Callable[[], float] | None = None,
        boot: str | None = None,
    ) -> None:
        """Make a clock that follows the computer's until `start` is called, here or in another process.

        Args:
            path: the file that all processes of the event share; None: follow the computer's clock for good.
            wall: the computer's clock, seconds since the epoch; None: the system's.
            awake: seconds that the computer has been awake since it started; None: by the system.
            boot: names this start of the computer; None: as the system does.
        """
        self._path, self._wall, self._awake = path, wall or time.time, awake or awake_seconds
        self._boot = boot_id() if boot is None and path is not None else boot or ""
        self._version: object = None  # of the file, as it was read last
        self._anchor: Anchor | None = None

    def __call__(self) -> float:
        """Return the event's time, in seconds since the epoch."""
        anchor = self._read()
        return self._wall() if anchor is None else anchor.time + self._awake() - anchor.awake

    @property
    def computer(self) -> float:
        """The time on the computer's clock, in seconds since the epoch."""
        return self._wall()

    @property
    def ahead(self) -> float:
        """Seconds by which the computer's clock is ahead of the event's; 0 where they differ by no more than usual."""
        ahead = self._wall() - self()
        return ahead if abs(ahead) > TOLERANCE else 0.0

    @property
    def is_counting(self) -> bool:
        """Whether it counts by itself, since a server was started after the computer."""
        return self._read() is not None

    @property
    def is_of_earlier_start(self) -> bool:
        """Whether a server counted before the computer started again, and none has since."""
        return self._path is not None and self._path.exists() and not self.is_counting

    def follow(self) -> None:
        """Take the computer's time, and count from there on.

        Raises:
            OSError: The file cannot be written.
        """
        if self._path is not None:
            anchor = Anchor(self._wall(), self._awake(), self._boot)
            write_atomically(self._path, strictjson.dump(asdict(anchor)) + b"\n")

    def _read(self) -> Anchor | None:
        """Return the anchor in the file, or None if it is none of this start of the computer."""
        if self._path is None:
            return None
        try:
            status = self._path.stat()
        except OSError:  # never written; or for an instant, while it is replaced
            return self._anchor
        version = (status.st_mtime_ns, status.st_ino, status.st_size)
        if version != self._version:
            with contextlib.suppress(OSError, ValueError, TypeError):
                anchor = Anchor(**strictjson.parse(self._path.read_bytes().strip()))
                is_ours = anchor.boot == self._boot and self._boot and 0 <= anchor.awake <= self._awake()
                self._anchor, self._version = (anchor if is_ours else None), version
        return self._anchor


class RemoteClock:
    """Tells the time of another computer, which it asks now and then; while that does not answer, it counts on."""

    def __init__(self, ask: Callable[[], float], *, awake: Callable[[], float] | None = None) -> None:
        """Make a clock that has not asked yet.

        Args:
            ask: returns the other computer's time, in seconds since the epoch.
            awake: seconds that this computer has been awake since it started; None: by the system.
        """
        self._ask, self._awake = ask, awake or awake_seconds
        self._lock = threading.Lock()
        self._offset: float | None = None  # from `awake` to the other computer's time
        self._asked_at = 0.0

    def __call__(self) -> float:
        """Return the other computer's time, in seconds since the epoch.

        Raises:
            ArenaError: It has never answered.
        """
        is_due = self._offset is None or self._awake() - self._asked_at >= ASK_SECONDS
        if is_due and self._lock.acquire(blocking=self._offset is None):  # others take the time as it is known
            try:
                self._compare()
            finally:
                self._lock.release()
        assert self._offset is not None
        return self._offset + self._awake()

    def _compare(self) -> None:
        before = self._asked_at = self._awake()
        try:
            answer = self._ask()
        except ArenaError:
            if self._offset is None:
                raise
            return
        after = self._awake()
        if self._offset is None or after - before < QUICK_SECONDS:
            self._offset = answer - (before + after) / 2


def awake_seconds() -> float:
    """Return how long this computer has been awake since it started, by one clock for all its processes."""
    if sys.platform == "win32":  # its other clocks count sleep, too
        import ctypes

        ticks = ctypes.c_ulonglong()
        ctypes.windll.kernel32.QueryUnbiasedInterruptTime(ctypes.byref(ticks))
        return ticks.value / 1e7
    if hasattr(time, "CLOCK_UPTIME_RAW"):  # macOS
        return time.clock_gettime(time.CLOCK_UPTIME_RAW)
    return time.clock_gettime(time.CLOCK_MONOTONIC)  # on Linux it stands still during sleep


def boot_id() -> str:
    """Return what names this start of the computer; "" where the system does not tell."""
    if sys.platform == "win32":
        import winreg

        memory = r"SYSTEM\CurrentControlSet\Control\Session Manager\Memory Management\PrefetchParameters"
        with contextlib.suppress(OSError), winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, memory) as key:
            return str(winreg.QueryValueEx(key, "BootId")[0])
        return ""
    if sys.platform == "darwin":
        import subprocess

        command = ["/usr/sbin/sysctl", "-n", "kern.bootsessionuuid"]
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            return subprocess.run(command, capture_output=True, text=True, check=True, timeout=5).stdout.strip()
        return ""
    with contextlib.suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    return ""
