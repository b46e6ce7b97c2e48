"""Verifies bundles, each in a watched child process with limits that follow from the bundle's header."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import replace
from pathlib import Path

from arena.processes import python_command
from arena.verification.report import Report, failed, malformed, unreadable
from arena.verification.sandbox import Ending, Limits, run_watched
from trainer.verse.bundle import read_claim
from trainer.verse.claim import Claim
from trainer.verse.errors import BundleError
from trainer.verse.replay import CHUNK, MAX_LOGITS
from trainer.verse.rounding import COPIES

MIB = 2**20
MIN_MEMORY = 256 * MIB  # bytes; Python and NumPy take 40 to 60 MB
MIN_SECONDS = 60.0  # a cold start on a slow disk, with every core busy
SLOWEST_MACHINE = 2e8  # float64 operations a second: a tenth of one core of a small board
SECONDS_PER_DIGEST = 2e-5  # noise: SHA-256 through Python takes 1e-6, one digest for four tokens of the vocabulary
WAIT_SECONDS = 0.2  # between two chances for Ctrl-C, which cannot interrupt a wait on Windows
CHILD = "arena.verification.child:main"
PRECISE = "--precise"  # an argument of the child
SLOWEST_PRECISE = 2e4  # operations a second in ball arithmetic, on a very slow machine, all precisions together
PRECISE_BYTES = 400  # of a number, as a ball and an object of Python
CHILD_FLAGS = ("-I", "-B")  # isolated: no PYTHON* variables, no user site, no current folder; and it writes no bytecode


class Cancelled(Exception):
    """The check was cancelled before there was a verdict."""


def claim_limits(claim: Claim, *, precise: bool = False) -> Limits:
    """Compute what the check of a claim may use: two to four times what it should need.

    Memory: the bundle's bytes as read (2 a weight), the weights in float64 (8), a float16 temporary (2), keys and
    values of every position, and one chunk's activations, attention and logits, for the three copies of a replay; half
    as much again, and a minimum. Time: two operations a weight and position, the attention's, for three copies, and the
    noise, on a very slow machine, and a minimum. A precise check does the same once more, in slow and large numbers.

    Args:
        claim: The claim.
        precise: Whether what float64 leaves open is decided in ball arithmetic.
    """
    config = claim.config
    positions = len(claim.recipe.prompt_ids) + len(claim.ids)
    rows = min(positions, CHUNK)
    cache = 2 * config.n_layer * config.n_embd * positions
    activations = rows * 20 * config.n_embd
    attention = 2 * config.n_head * rows * positions
    logits = 4 * config.vocab_size * min(len(claim.ids), max(1, MAX_LOGITS // config.vocab_size))
    memory = 12 * config.n_params + 8 * COPIES * (cache + activations + attention) + 8 * logits
    operations = 2 * config.n_params * positions + 4 * config.n_layer * config.n_embd * positions**2
    digests = len(claim.ids) * config.vocab_size / 4
    seconds = COPIES * operations / SLOWEST_MACHINE + digests * SECONDS_PER_DIGEST
    if precise:
        largest = 4 * config.n_embd**2 + positions * (12 * config.n_embd + positions) + config.vocab_size * positions
        memory += PRECISE_BYTES * largest
        seconds += operations / SLOWEST_PRECISE
    return Limits(memory=MIN_MEMORY + memory * 3 // 2, seconds=MIN_SECONDS + seconds)


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
        claim = read_claim(path)  # the header alone: weights are for the child
    except BundleError as error:
        report = malformed(error)
    except OSError as error:
        report = unreadable(error)
    else:
        report = check_in_child(path, claim_limits(claim, precise=precise), cancelled, precise=precise)
    return replace(report, file=str(path))


def check_in_child(path: Path, limits: Limits, cancelled: threading.Event, *, precise: bool = False) -> Report:
    """Check one bundle in a child process of its own.

    Args:
        path: The bundle.
        limits: What the child may use.
        cancelled: Ends the child when it is set.
        precise: Decide in ball arithmetic what float64 leaves open.

    Raises:
        Cancelled: `cancelled` was set first.
    """
    arguments = [str(path), PRECISE] if precise else [str(path)]
    try:
        ending = run_watched(python_command(CHILD, *arguments, flags=CHILD_FLAGS), limits, cancelled)
    except OSError as error:
        return failed("crash", f"no process could be started: {error.strerror}")
    return report_of(ending, limits)


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
        exit_text = _describe_exit(ending.status)
        return failed("crash", f"the checking process {exit_text}: is the machine out of memory? try --jobs 1")
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
    cancelled = threading.Event()
    with ThreadPoolExecutor(jobs) as pool:
        futures = [pool.submit(verify_file, path, cancelled, precise=precise) for path in paths]
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
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _describe_exit(status: int) -> str:
    if status >= 0:
        return f"ended with status {status}"
    try:
        return f"was ended by {signal.Signals(-status).name}"
    except ValueError:
        return f"was ended by signal {-status}"
