"""The watched child process: checks one bundle and prints its report as one line of JSON."""

from __future__ import annotations

import json
import signal
import sys
from dataclasses import asdict
from pathlib import Path

from arena.processes import end_with_parent


def main() -> None:
    """Check the bundle named by the first argument, precisely if there is a second one, and print the report."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process of a terminal; the parent decides
    end_with_parent()
    from arena.verification.check import check_bundle  # NumPy loads here, under the limits that the parent has set
    from arena.verification.report import failed

    try:
        report = check_bundle(Path(sys.argv[1]), precise="--precise" in sys.argv[2:])
    except MemoryError:
        report = failed("memory")
    except Exception as error:  # a fault of this program, not of the bundle: it must not look like a verdict
        report = failed("crash", f"{type(error).__name__}: {error}")
    sys.stdout.write(json.dumps(asdict(report)))
    sys.stdout.flush()
