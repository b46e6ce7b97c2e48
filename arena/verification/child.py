"""The watched child: checks one bundle and prints one line of JSON. `services.verification` starts it, in `sandbox`."""

from __future__ import annotations

import json
import signal
import sys
from dataclasses import asdict
from pathlib import Path

from arena.processes import end_with_parent


def main() -> None:
    """The child's whole life; its one argument is the file."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches every process of a terminal; the parent decides
    end_with_parent()
    from arena.verification.check import Report, check_bundle  # NumPy loads under the limits, like all that follows

    try:
        report = check_bundle(Path(sys.argv[1]))
    except MemoryError:
        report = Report("ERROR", code="memory", reason="the check needed more memory than it may use")
    except Exception as error:  # ours, not the bundle's: it must not look like a verdict
        report = Report("ERROR", code="crash", reason=f"the check broke off: {type(error).__name__}: {error}")
    sys.stdout.write(json.dumps(asdict(report)))
    sys.stdout.flush()
