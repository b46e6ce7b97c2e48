"""Ctrl-C as a wish that is granted between two steps, where nothing is half done."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

MESSAGE = b"\nStopping after this step, to save it. Ctrl-C again stops at once.\n"


class Stop:
    """Whether somebody asked to stop."""

    def __init__(self) -> None:
        self.asked = False


@contextmanager
def ctrl_c() -> Iterator[Stop]:
    """Within, the first Ctrl-C only asks to stop; the second is a `KeyboardInterrupt`, whatever is going on."""
    stop = Stop()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        if stop.asked:
            raise KeyboardInterrupt
        stop.asked = True
        os.write(2, MESSAGE)  # print is not safe here: it may itself have been interrupted

    if threading.current_thread() is not threading.main_thread():
        yield stop  # only the main thread may handle signals
        return
    before = signal.signal(signal.SIGINT, on_signal)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)
