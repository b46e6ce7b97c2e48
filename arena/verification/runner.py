"""Verifies bundles, each in a watched child process with limits that follow from the bundle's header."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Protocol

from arena.processes import python_command
from arena.verification.child import PRECISE, SIZE_BYTES
from arena.verification.cost import MIN_MEMORY, estimate_cost
from arena.verification.report import Report, failed, malformed, unreadable
from arena.verification.sandbox import Ending, Limits, Readable, run_watched
from trainer.verse.bundle_file import open_bundle, read_claim_from
from trainer.verse.claim import LENGTH_BYTES, Claim, header_length, parse_claim
from trainer.verse.errors import BundleError

MIB = 2**20
MIN_SECONDS = 60.0  # a cold start on a slow disk, with every core busy
SLOWEST_MACHINE = 20.0  # times slower than the one that costs are estimated for: a tenth of a core of a small board
WAIT_SECONDS = 0.2  # between two chances for Ctrl-C, which cannot interrupt a wait on Windows
PRECISE_SECONDS = 500.0  # of ball arithmetic, in all precisions together, for one of float64
PRECISE_BYTES = 400  # of a number, as a ball and an object of Python
CHILD = "arena.verification.child:main"
PROBE = "arena.verification.child:probe"
CHILD_FLAGS = ("-I", "-B")  # isolated: no PYTHON* variables, no user site, no current folder; and it writes no bytecode


OUT_OF_MEMORY = "is the machine out of memory? try --jobs 1"
OTHER_ADVICE = "try again; if it happens again, `arena selftest` says whether this machine can check verses"
ADVICE = {  # by the signal that ended a check
    "SIGKILL": OUT_OF_MEMORY,
    "SIGABRT": OUT_OF_MEMORY,
    "SIGILL": "a library used an instruction that this processor does not have. Set the environment variable "
    "OPENBLAS_CORETYPE=Prescott, or install NumPy anew on this machine",
    "SIGXCPU": "it used up its processor time",
    "SIGTERM": "somebody ended it",
}
WINDOWS_FAULTS = {0xC000001D: signal.SIGILL, 0xC0000005: signal.SIGSEGV}  # exit statuses there


class OpenPart(Readable, Protocol):
    """A bundle within a file, open for reading."""

    def __enter__(self) -> Readable:
        """Read it."""

    def __exit__(self, *details: object) -> None:
        """Close it."""


class Cancelled(Exception):
    """The check was cancelled before there was a verdict."""


def claim_limits(claim: Claim, *, precise: bool = False) -> Limits:
    """Compute what the check of a claim may use.

    Args:
        claim: The claim.
        precise: Whether what float64 leaves open is decided in ball arithmetic.
    """
    cost = estimate_cost(claim)
    memory, seconds = cost.memory, cost.seconds
    if precise:
        positions, width = len(claim.recipe.prompt_ids) + len(claim.ids), claim.config.n_embd
        numbers = 4 * width**2 + positions * (12 * width + positions + claim.config.vocab_size)
        memory += PRECISE_BYTES * numbers
        seconds *= PRECISE_SECONDS
    return Limits(memory=memory, seconds=MIN_SECONDS + SLOWEST_MACHINE * seconds)


def verify_file(path: Path, cancelled: threading.Event, *, precise: bool = False) -> Report:
    """Verify one bundle. A check that cannot be done is an ERROR, never a FAIL.

    Args:
        path: The bundle.
        cancelled: Ends the check when it is set.
        precise: Decide in ball arithmetic what float64 leaves open.

    Raises:
        Cancelled: `cancelled` was set first.
    """
    try:
        with open_bundle(path) as file:
            claim = read_claim_from(file)  # the header alone: weights are for the child
            file.seek(0)
            report = check_in_child(file, claim.size, claim_limits(claim, precise=precise), cancelled, precise=precise)
    except BundleError as error:
        report = malformed(error)
    except OSError as error:
        report = unreadable(error)
    return replace(report, file=str(path))


def check_in_child(
    file: Readable, size: int, limits: Limits, cancelled: threading.Event, *, precise: bool = False
) -> Report:
    """Check one bundle in a child process of its own.

    Args:
        file: the bundle, from its first byte on.
        size: its bytes.
        limits: what the child may use.
        cancelled: ends the child when it is set.
        precise: decide in ball arithmetic what float64 leaves open.

    Raises:
        Cancelled: `cancelled` was set first.
    """
    start = size.to_bytes(SIZE_BYTES)
    try:
        command = python_command(CHILD, *([PRECISE] if precise else []), flags=CHILD_FLAGS)
        ending = run_watched(command, limits, cancelled, (start, file))
    except OSError as error:
        return failed("crash", f"no process could be started: {error.strerror}")
    return report_of(ending, limits)


def unenforced_rights() -> list[str]:
    """Return the rights that this system cannot take from a checking process."""
    ending = run_watched(python_command(PROBE, flags=CHILD_FLAGS), Limits(MIN_MEMORY, MIN_SECONDS))
    try:
        return [str(right) for right in json.loads(ending.output)]
    except ValueError:
        return ["everything"]


def report_of(ending: Ending, limits: Limits) -> Report:
    """Return the report that a child printed, or an ERROR that says how the child ended.

    Raises:
        Cancelled: The child was ended because the check was cancelled.
    """
    match ending.how:
        case "cancelled":
            raise Cancelled
        case "memory":
            return failed("memory", f" ({limits.memory // MIB:,} MiB)")
        case "time":
            return failed("time", f" ({limits.seconds:,.0f} seconds)")
        case "output":
            return failed("output")
    if ending.status:
        return failed("crash", f"the checking process {_describe_exit(ending.status)}")
    try:
        return Report.from_dict(json.loads(ending.output))
    except ValueError:
        return failed("crash", "the checking process printed no report")


def verify_files(paths: Sequence[Path], jobs: int, *, precise: bool = False) -> Iterator[Report]:
    """Verify bundles, `jobs` at the same time, and yield the reports in the order of `paths`.

    Args:
        paths: The bundles.
        jobs: How many are checked at the same time.
        precise: Decide in ball arithmetic what float64 leaves open.

    Closing the iterator, or an interrupt while it waits, ends the children.
    """
    return _in_parallel([partial(verify_file, path, precise=precise) for path in paths], jobs)


def verify_parts(parts: Sequence[tuple[Callable[[], OpenPart], int]], jobs: int) -> Iterator[Report]:
    """Verify bundles that are parts of a file, as `verify_files` does.

    Args:
        parts: what opens each bundle, and its size in bytes.
        jobs: How many are checked at the same time.
    """
    return _in_parallel([partial(_verify_part, open_part, size) for open_part, size in parts], jobs)


def _verify_part(open_part: Callable[[], OpenPart], size: int, cancelled: threading.Event) -> Report:
    try:
        with open_part() as part:
            start = part.read(LENGTH_BYTES)
            claim = parse_claim(start + part.read(header_length(start) - LENGTH_BYTES))
        with open_part() as part:
            return check_in_child(part, size, claim_limits(claim), cancelled)
    except BundleError as error:
        return malformed(error)
    except OSError as error:
        return unreadable(error)


def _in_parallel(checks: Sequence[Callable[[threading.Event], Report]], jobs: int) -> Iterator[Report]:
    cancelled = threading.Event()
    with ThreadPoolExecutor(jobs) as pool:
        futures = [pool.submit(check, cancelled) for check in checks]
        try:
            for future in futures:
                while not wait([future], WAIT_SECONDS).done:
                    pass
                yield future.result()
        finally:
            cancelled.set()
            for future in futures:
                future.cancel()


def available_cores() -> int:
    """Count the cores that this process may use."""
    if sys.platform == "linux" and hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def half_of_free_memory() -> int:
    """Return half of the bytes of memory that are free now: what the checks of an event may use, unless it is set."""
    import psutil

    return int(psutil.virtual_memory().available) // 2


def _describe_exit(status: int) -> str:
    """Say how a process ended by itself, and what to do about it."""
    if status >= 0 and status not in WINDOWS_FAULTS:
        return f"ended with status {status}: {OUT_OF_MEMORY}"
    number = WINDOWS_FAULTS.get(status, -status)
    try:
        name = signal.Signals(number).name
    except ValueError:
        name = f"signal {number}"
    return f"was ended by {name}: {ADVICE.get(name, OTHER_ADVICE)}"
