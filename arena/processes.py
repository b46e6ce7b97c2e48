"""Starts child processes that run this code, and ends a child when its parent ends."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

CODE_FOLDER = str(Path(__file__).resolve().parents[1])  # holds the packages `arena` and `trainer`
IGNORE_INTERRUPT = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); "
START = "import sys; sys.path.insert(0, sys.argv.pop(1)); from {module} import {function}; {function}()"


def python_command(
    target: str, *arguments: str, flags: Sequence[str] = ("-P",), ignore_interrupt: bool = False
) -> list[str]:
    """Build the command line of a Python process that calls one function of this code, installed or not.

    Args:
        target: the module and the function, such as "arena.worker:run_as_child".
        arguments: what the child finds in `sys.argv[1:]`.
        flags: options of the interpreter. -P keeps the current folder off the child's path.
        ignore_interrupt: from its first moment on, the child ignores Ctrl-C, which reaches every process of a terminal.

    Returns:
        The program and its arguments.
    """
    module, _, function = target.partition(":")
    code = IGNORE_INTERRUPT * ignore_interrupt + START.format(module=module, function=function)
    return [sys.executable, *flags, "-c", code, CODE_FOLDER, *arguments]


def end_with_parent(
    before_exit: Callable[[], object] | None = None, *, seconds: float = 0.0, sentinel: int | None = None
) -> None:
    """Start a thread that ends this process with status 1 when its parent ends, however the parent ends.

    Args:
        before_exit: called first, in that thread.
        seconds: time between `before_exit` and the exit, for other threads to finish their work.
        sentinel: what `multiprocessing` gives its children to wait on. None: wait for the end of standard input, a
            pipe that the parent keeps open.
    """

    def watch() -> None:
        if sentinel is None:
            _wait_for_end_of_input()
        else:
            from multiprocessing.connection import wait

            wait([sentinel])
        if before_exit is not None:
            before_exit()
            time.sleep(seconds)
        os._exit(1)

    threading.Thread(target=watch, name="parent", daemon=True).start()


def _wait_for_end_of_input() -> None:
    with contextlib.suppress(OSError):
        while os.read(0, 1):
            pass
