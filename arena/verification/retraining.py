"""Trains the model of an entry again with the `trainer` command, in a child process that gets out of everybody's way.

The child runs at the lowest priority, in a session of its own: on Linux that also lowers it beside programs of other
terminals. What it uses is bounded by what it says beforehand, and by the parent, which watches its memory.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from arena.errors import RetrainingFailed, TrainerMissing
from arena.processes import end_with_parent, python_command
from arena.verification.runner import half_of_free_memory
from trainer.checks.comparison import Comparison

CHILD = "arena.verification.retraining:main"
TOO_LONG = 4  # the exit status of `trainer retrain` that wants to be asked
MAX_OUTPUT = 2**16  # bytes; a result is a few kilobytes
NICENESS = 19  # as low as there is
POLL_SECONDS = 0.5  # between two looks at the child


@dataclass(frozen=True)
class Retraining:
    """What training an entry again gave."""

    seconds: float | None  # that it takes here; None: the record contradicts itself, and nothing was trained
    comparisons: list[Comparison] | None  # None: it takes long, and nobody has agreed yet


def retrain(path: Path, texts: Sequence[Path], *, yes: bool, memory: int | None = None) -> Retraining:
    """Train a bundle again, and compare. Its progress goes to the error stream.

    Args:
        path: the bundle.
        texts: what it was trained on; none for a text that comes along.
        yes: train, however long it takes.
        memory: bytes that it may use; None: half of what is free.

    Raises:
        TrainerMissing: There is no PyTorch here.
        RetrainingFailed: It could not be trained again; the trainer's message says why.
    """
    if importlib.util.find_spec("torch") is None:
        raise TrainerMissing
    most = half_of_free_memory() if memory is None else memory
    words = [str(path), "--json", *(["--yes"] if yes else [])]
    for text in texts:
        words += ["--corpus", str(text)]
    if sys.platform == "win32":
        flags = subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.IDLE_PRIORITY_CLASS
        child = _start(words, creationflags=flags)
    else:
        child = _start(words, start_new_session=True)
    try:
        _watch(child, most)
        assert child.stdout is not None
        return _read(child.stdout, child.returncode)
    finally:
        child.kill()
        child.wait()
        for pipe in (child.stdin, child.stdout):
            if pipe is not None:
                pipe.close()


def _start(words: Sequence[str], **options: object) -> subprocess.Popen[bytes]:
    command = python_command(CHILD, "retrain", *words)
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, **options)  # type: ignore[call-overload,no-any-return]


def _watch(child: subprocess.Popen[bytes], memory: int) -> None:
    """Wait until a child ends; it must write less than a pipe holds until then.

    Raises:
        RetrainingFailed: It uses too much memory.
    """
    import psutil

    process = psutil.Process(child.pid)
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(POLL_SECONDS)
            return
        with contextlib.suppress(psutil.Error):
            if sum(one.memory_info().rss for one in (process, *process.children(recursive=True))) > memory:
                raise RetrainingFailed(f"it used more than the {memory / 2**30:.1f} GiB of memory that it may use")


def _read(output: IO[bytes], status: int) -> Retraining:
    """Read what the child printed.

    Raises:
        RetrainingFailed: It has printed no result.
    """
    try:
        match json.loads(output.read(MAX_OUTPUT)):
            case {"estimate": None, "comparisons": list(comparisons)}:
                return Retraining(None, [Comparison.from_dict(one) for one in comparisons])
            case {"estimate": {"seconds": float(seconds)}, "comparisons": list(comparisons)}:
                return Retraining(seconds, [Comparison.from_dict(one) for one in comparisons])
            case {"estimate": {"seconds": float(seconds)}, "comparisons": None} if status == TOO_LONG:
                return Retraining(seconds, None)
    except ValueError:
        pass
    raise RetrainingFailed("its message is above")


def main() -> None:
    """Run the trainer's command in `sys.argv`, at the lowest priority, until it or the parent ends."""
    if sys.platform != "win32":
        os.nice(NICENESS)
        with contextlib.suppress(OSError):  # not Linux, or a kernel without groups of sessions
            Path("/proc/self/autogroup").write_text(str(NICENESS), "ascii")
    end_with_parent()
    importlib.import_module("trainer.cli").main()  # by name: the arena needs nothing of the trainer that needs torch
