"""A system without the modules and calls of POSIX, as far as they can be taken away: Windows, simulated on Linux.

Every Python with this folder in its path has it. A file of ours that is opened without an encoding is an error there.
"""

import contextlib
import os
import sys
import warnings

with contextlib.suppress(ImportError):
    import psutil  # noqa: F401  (that for Linux needs `resource`; nothing of ours does)

for name in ("resource", "fcntl", "pwd", "grp", "termios", "tty", "readline", "curses"):
    sys.modules[name] = None  # type: ignore[assignment]
for name in ("fork", "forkpty", "nice", "sched_getaffinity", "mkfifo"):
    if hasattr(os, name):
        delattr(os, name)
warnings.filterwarnings("error", category=EncodingWarning, module=r"(arena|trainer|tests)\b")
