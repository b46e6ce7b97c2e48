"""The watched child process: checks one bundle and prints its report as one line of JSON.

The bundle's bytes arrive through standard input, after their number. Nothing names the file or the event.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from dataclasses import asdict

from arena.processes import end_with_parent
from arena.verification.confinement import confine

SIZE_BYTES = 8  # of the bundle's length before its first byte, big-endian
PRECISE = "--precise"  # the one argument: decide in ball arithmetic what float64 leaves open
NICENESS = 10  # pages and votes come first


def main() -> None:
    """Check the bundle in standard input, and print the report."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process of a terminal; the parent decides
    if hasattr(os, "nice"):
        os.nice(NICENESS)
    from arena.verification.check import check_bundle  # NumPy loads here, under the limits that the parent has set
    from arena.verification.report import failed
    from trainer.verse.threads import find_libraries

    find_libraries()
    precise = PRECISE in sys.argv[1:]
    if precise:
        import arena.verification.precise  # noqa: F401  (its library is a file, too)
    confine()  # before the first byte that a stranger sent; no file can be opened any more
    try:
        size = int.from_bytes(sys.stdin.buffer.read(SIZE_BYTES))
        data = sys.stdin.buffer.read(size)
        end_with_parent()  # from here on, the input ends with the parent
        if len(data) < size:
            sys.exit(1)
        report = check_bundle(data, precise=precise)
    except MemoryError:
        report = failed("memory")
    except Exception as error:  # a fault of this program, not of the bundle: it must not look like a verdict
        report = failed("crash", f"{type(error).__name__}: {error}")
    sys.stdout.write(json.dumps(asdict(report)))
    sys.stdout.flush()


def probe() -> None:
    """Print as JSON what the system cannot take from a checking process."""
    sys.stdout.write(json.dumps(confine()))
