"""How long the commands take to say what they do."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

RUNS = 9
COMMANDS = ("trainer.cli --help", "trainer.cli train --help", "arena.cli --help", "arena.cli verify --help")


def main() -> None:
    """Print the median wall time of each, beside that of Python doing nothing."""
    print("| command | median | reach |\n|---|---|---|")
    print(f"| python -c pass | {_median(['-c', 'pass']) * 1000:.0f} ms | |")
    for command in COMMANDS:
        module, *arguments = command.split()
        code = f"import sys; sys.argv = {[module.split('.')[0], *arguments]!r}; from {module} import main; main()"
        print(f"| {module.split('.')[0]} {' '.join(arguments)} | {_median(['-c', code]) * 1000:.0f} ms | < 400 ms |")


def _median(arguments: list[str]) -> float:
    times = []
    for _ in range(RUNS):
        start = time.perf_counter()
        subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - start)
    return statistics.median(times)
