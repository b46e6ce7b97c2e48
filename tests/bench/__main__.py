"""`make bench`: the numbers of the project, as tables. Nothing here is a test; machines are noisy, ratios less so.

python -m tests.bench                    everything
python -m tests.bench training           losses after a given time; CORPUS=FILE trains on that, SEEDS=1 is quicker
NANOGPT=/path/to/checkout python -m tests.bench training
                                         besides, nanoGPT's recipe for a CPU, alternating with ours
BUSY=1 python -m tests.bench training    beside a process that keeps one core busy
TOKENIZER=char python -m tests.bench training
                                         ours reads characters, as nanoGPT does, and not what `auto` takes
python -m tests.bench verse              writing and verifying verses
python -m tests.bench javascript         the verse engine in JavaScript (Node) beside the one in Python, in turn
python -m tests.bench serving            polls, votes, phones and stalled uploads, over loopback
DATABASE=postgresql python -m tests.bench serving
                                         the same with PostgreSQL in place of SQLite
python -m tests.bench uploads            200 bundles of 21 MB, one in ten cut off, beside phones that poll
python -m tests.bench streams            how soon a change is on every page; PHONES=10000 for more of them
python -m tests.bench checks             what checks of dear bundles cost, and the memory of seven at once
python -m tests.bench audit              the audit of a published event of 64 verses
python -m tests.bench help               how long `--help` takes
PEER=/path/to/python python -m tests.bench verse
                                         besides, transformers in that Python, alternating with ours
"""

from __future__ import annotations

import os
import platform
import sys

from tests.bench import audit, checks, javascript, serving, startup, streams, training, uploads, verse

BENCHES = {
    "training": training.main,
    "verse": verse.main,
    "javascript": javascript.main,
    "serving": serving.main,
    "uploads": uploads.main,
    "streams": streams.main,
    "checks": checks.main,
    "audit": audit.main,
    "help": startup.main,
}


def main() -> None:
    """Run the benches named on the command line, or all."""
    names = sys.argv[1:] or list(BENCHES)
    if unknown := set(names) - set(BENCHES):
        sys.exit(f"no such bench: {', '.join(sorted(unknown))}; there are {', '.join(BENCHES)}")
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    print(f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}, load {load:.1f}")
    for name in names:
        print(f"\n## {name}\n")
        BENCHES[name]()


if __name__ == "__main__":
    main()
