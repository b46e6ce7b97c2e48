"""What checks cost beside what is estimated from the header, and the memory of seven large checks at once."""

from __future__ import annotations

import contextlib
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil

from arena.services.queries import list_entries
from arena.services.schemas import EventRules
from arena.verification.cost import MIB, estimate_cost
from arena.verification.runner import verify_file
from arena.worker import Worker
from tests.support.bundles import DEAR, LARGEST, VOCABULARY, dear_verse, header_of, verse
from tests.support.evening import Evening
from trainer.verse.claim import parse_claim
from trainer.verse.config import ModelConfig

LARGE = ModelConfig("modern", 12, 12, 768, 512, VOCABULARY.size)  # the trainer's largest preset
MANY_HEADS = ModelConfig("modern", 16, 64, 512, 1024, VOCABULARY.size)
BUDGET = 4 * 2**30  # bytes of all checks together
COUNT = 7
TOKENS = 32  # of each of the seven: memory is what matters here, and more tokens take minutes


def main() -> None:
    """Print both tables."""
    print("| bundle | MB | estimated | measured | memory allowed | used |\n|---|---|---|---|---|---|")
    for name, data in (
        ("small", verse(1)),
        ("64 layers of width 24", dear_verse(1, DEAR)),
        ("the large preset, 400 tokens", dear_verse(1, LARGE, tokens=400)),
        ("1,024 heads in 16 layers", dear_verse(1, MANY_HEADS)),
    ):
        _print_cost(name, data)
    _print_memory_of_many()


def _print_cost(name: str, data: bytes) -> None:
    cost = estimate_cost(parse_claim(header_of(data)))
    with tempfile.TemporaryDirectory() as folder, _Watch() as watch:
        path = Path(folder) / "a.verse"
        path.write_bytes(data)
        verify_file(path, threading.Event())
    print(
        f"| {name} | {len(data) / 1e6:.1f} | {cost.seconds:.1f} s | {watch.seconds:.1f} s "
        f"| {cost.memory // MIB:,} MiB | {watch.most // MIB:,} MiB |"
    )


def _print_memory_of_many() -> None:
    with tempfile.TemporaryDirectory() as folder:
        evening = Evening(Path(folder) / "event", now=None)
        evening.begin(
            EventRules(characters=2_000, prompt_characters=2_000, check_seconds=600.0, check_memory=4 * 2**30)
        )
        for number in range(COUNT):
            evening.enter(f"eve{number}", dear_verse(number, LARGEST, tokens=TOKENS))
        size = sum(stored.size for stored in evening.bundles.stored())
        worker = Worker(evening.db, evening.bundles, name="bench", jobs=COUNT, memory=BUDGET)
        thread, start = threading.Thread(target=worker.run), time.perf_counter()
        with _Watch() as watch:
            thread.start()
            while any(entry.state in ("waiting", "verifying") for entry in list_entries(evening.db)):
                time.sleep(0.2)
        worker.stop()
        thread.join()
        evening.end()
    print(
        f"\n{COUNT} bundles of {size / COUNT / 1e6:.0f} MB at once, in {time.perf_counter() - start:.0f} s: "
        f"{watch.most / 2**30:.2f} GiB at most, of {BUDGET / 2**30:.0f} GiB allowed"
    )


class _Watch(threading.Thread):
    """Adds up memory and processor time of this process's children."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.most = 0  # bytes
        self.seconds = 0.0
        self._times: dict[int, float] = {}
        self._end = threading.Event()

    def __enter__(self) -> _Watch:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self.join()
        self.seconds = sum(self._times.values())

    def run(self) -> None:
        me = psutil.Process()
        while not self._end.wait(0.02):
            used = 0
            for child in me.children():
                with contextlib.suppress(psutil.Error):
                    used += child.memory_info().rss
                    self._times[child.pid] = sum(child.cpu_times()[:2])
            self.most = max(self.most, used)


if __name__ == "__main__":
    sys.exit(main())
