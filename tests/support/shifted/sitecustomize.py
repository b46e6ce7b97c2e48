"""A computer whose clock is changed: every Python with this folder in its path adds the number in SHIFTED_CLOCK."""

import os
import time

_time, _path = time.time, os.environ.get("SHIFTED_CLOCK", "")


def shifted() -> float:
    """The time, with as many seconds added as the file says now."""
    try:
        with open(_path, encoding="ascii") as file:  # noqa: PTH123  (at the start of every process)
            return _time() + float(file.read())
    except (OSError, ValueError):
        return _time()


if _path:
    time.time = shifted
