"""Interrupts: defer SIGINT to the end of the current training step, where the state is complete."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

MESSAGE = b"\nStopping after this step, to save it. Press Ctrl-C again to stop at once.\n"


class InterruptFlag:
    """Whether an interrupt was requested."""

    def __init__(self) -> None:
        self.requested = False


@contextmanager
def defer_interrupt() -> Iterator[InterruptFlag]:
    """Within, the first SIGINT only sets the flag; the second raises `KeyboardInterrupt`."""
    flag = InterruptFlag()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        if flag.requested:
            raise KeyboardInterrupt
        flag.requested = True
        os.write(2, MESSAGE)  # print is not safe here: it may itself have been interrupted

    if threading.current_thread() is not threading.main_thread():
        yield flag  # only the main thread may handle signals
        return
    previous = signal.signal(signal.SIGINT, on_signal)
    try:
        yield flag
    finally:
        signal.signal(signal.SIGINT, previous)
