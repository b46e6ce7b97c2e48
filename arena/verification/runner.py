"""Verifies bundles, each in a watched child process with limits that follow from its header."""

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
from arena.verification.check import Report, malformed, unreadable
from arena.verification.sandbox import Ending, Limits, run_watched
from trainer.verse.bundle import read_claim
from trainer.verse.claim import Claim
from trainer.verse.errors import BundleError
from trainer.verse.replay import CHUNK, MAX_LOGITS

MIB = 2**20
FLOOR_MEMORY = 256 * MIB  # bytes; Python and NumPy take 40 to 60 MB
FLOOR_SECONDS = 60.0  # a cold start on a slow disk, with every core busy
SLOWEST = 2e8  # float64 operations a second: a tenth of one core of a small board
SECONDS_A_DIGEST = 2e-5  # noise: SHA-256 through Python takes 1e-6, one digest for four tokens of the vocabulary
PATIENCE = 0.2  # seconds between two chances for Ctrl-C, which Windows does not let interrupt a wait

CHILD = "arena.verification.child:main"
CHILD_FLAGS = ("-I", "-B")  # isolated: no PYTHON* variables, no user site, no current folder; and it writes no bytecode


class Cancelled(Exception):
    """The run was cancelled before this file had a verdict."""


def limits_of(claim: Claim) -> Limits:
    """What checking this claim may use: some two to four times what it needs.

    Memory: the bundle's bytes as read (2 a weight), the weights in float64 (8), a float16 temporary (2), keys and
    values of every position, and one chunk's activations, attention and logits; half as much again, and a floor.
    Time: two operations a weight and position, the attention's, and the noise, on a very slow machine, and a floor.
    """
    config = claim.config
    positions = len(claim.recipe.prompt_ids) + len(claim.ids)
    rows = min(positions, CHUNK)
    cache = 2 * config.n_layer * config.n_embd * positions
    activations = rows * 20 * config.n_embd
    attention = 2 * config.n_head * rows * positions
    logits = 4 * config.vocab_size * min(len(claim.ids), max(1, MAX_LOGITS // config.vocab_size))
    memory = 12 * config.n_params + 8 * (cache + activations + attention + logits)
    operations = 2 * config.n_params * positions + 4 * config.n_layer * config.n_embd * positions**2
    digests = len(claim.ids) * config.vocab_size / 4
    return Limits(
        memory=FLOOR_MEMORY + memory * 3 // 2,
        seconds=FLOOR_SECONDS + operations / SLOWEST + digests * SECONDS_A_DIGEST,
    )


def verify_file(path: Path, cancelled: threading.Event) -> Report:
    """Verify one bundle. Whatever stops the check itself is an ERROR, never a FAIL.

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
        report = check_watched(path, limits_of(claim), cancelled)
    return replace(report, file=str(path))


def check_watched(path: Path, limits: Limits, cancelled: threading.Event) -> Report:
    """Check one bundle in a child of its own; raises as `verify_file` does."""
    try:
        ending = run_watched(python_command(CHILD, str(path), flags=CHILD_FLAGS), limits, cancelled)
    except OSError as error:
        return Report("ERROR", code="crash", reason=f"no process could be started: {error.strerror}")
    return report_of(ending, limits)


def report_of(ending: Ending, limits: Limits) -> Report:
    """The report that a child printed, or an ERROR that says how it ended; raises as `verify_file` does."""
    if ending.how == "cancelled":
        raise Cancelled
    if ending.how == "exited" and ending.status == 0:
        try:
            return Report.from_dict(json.loads(ending.output))
        except ValueError:
            return Report("ERROR", code="crash", reason="the checking process printed no report")
    reasons = {
        "memory": f"the check used more than the {limits.memory // MIB:,} MiB this bundle should need",
        "time": f"the check took longer than the {limits.seconds:,.0f} seconds this bundle should need",
        "output": "the checking process printed without end",
        "exited": f"the checking process {_death(ending.status)}: is the machine out of memory? try --jobs 1",
    }
    return Report("ERROR", code="crash" if ending.how == "exited" else ending.how, reason=reasons[ending.how])


def verify_files(paths: Sequence[Path], jobs: int) -> Iterator[Report]:
    """Verify bundles, `jobs` at once, and yield their reports in the order given, each as soon as it can be.

    Closing the iterator, or an interrupt while it waits, ends the children.
    """
    cancelled = threading.Event()
    with ThreadPoolExecutor(jobs) as pool:
        futures = [pool.submit(verify_file, path, cancelled) for path in paths]
        try:
            for future in futures:
                while not wait([future], PATIENCE).done:
                    pass
                yield future.result()
        finally:
            cancelled.set()
            for future in futures:
                future.cancel()


def available_cores() -> int:
    """Cores this process may use."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _death(status: int) -> str:
    if status >= 0:
        return f"ended with status {status}"
    try:
        return f"was ended by {signal.Signals(-status).name}"
    except ValueError:
        return f"was ended by signal {-status}"
