"""The watched child: `python -I -B -c "..." ROOT FILE` checks one bundle and prints one line of JSON. See `sandbox`."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path

from arena.sandbox import end_with_parent

# Isolated (-I): no PYTHON* variables, no user site, no current folder on the path. The child runs the code its parent
# runs, installed or not, so it is told where that lies.
START = "import sys; sys.path.insert(0, sys.argv.pop(1)); from arena.replay_child import main; main()"
ROOT = str(Path(__file__).resolve().parents[1])


def command(file: Path) -> list[str]:
    """How to start this child for one file."""
    return [sys.executable, "-I", "-B", "-c", START, ROOT, os.fspath(file)]


def main() -> None:
    """The child's whole life."""
    end_with_parent()
    from arena.services.checking import Report, check_bundle  # NumPy loads under the limits, like all that follows

    try:
        report = check_bundle(Path(sys.argv[1]))
    except MemoryError:
        report = Report("ERROR", code="memory", reason="the check needed more memory than it may use")
    except Exception as error:  # ours, not the bundle's: it must not look like a verdict
        report = Report("ERROR", code="crash", reason=f"the check broke off: {type(error).__name__}: {error}")
    sys.stdout.write(json.dumps(asdict(report)))
    sys.stdout.flush()
