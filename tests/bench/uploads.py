"""Many people enter large bundles at once while the room looks on: one in ten is cut off and resumed.

    python -m tests.bench uploads
    BUNDLES=200 AT_ONCE=20 PHONES=2000 python -m tests.bench uploads

The bundles hold 10.7 million weights, 21 MB each. The sender is a process of its own, with a thread a person; the
phones poll every four seconds, and their latencies count from when each poll was due.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from arena.server.network import raise_descriptor_limit
from arena.services.queries import console_view
from tests.bench.load import Outcome, Planned, by_the_clock, hang_up, lines
from tests.bench.serving import Meter, get, poll_times
from tests.support.bundles import VOCABULARY, Poet, first_decided
from tests.support.evening import Evening, secret_of
from tests.support.server import within
from trainer.config import PRESETS
from trainer.submission.event import fetch_event
from trainer.submission.http_client import Address, EventClient, Response
from trainer.submission.upload import send_bundle
from trainer.verse.config import ModelConfig

BUNDLES = int(os.environ.get("BUNDLES", "200"))
AT_ONCE = int(os.environ.get("AT_ONCE", "20"))
PHONES = int(os.environ.get("PHONES", "2000"))
CUT_OFF = 10  # every so manieth upload breaks off once
WINDOW = 10.0  # seconds of polls that are planned at a time
MEDIUM = PRESETS["medium"]
CONFIG = ModelConfig(
    "modern", MEDIUM.n_layer, MEDIUM.n_head, MEDIUM.n_embd, MEDIUM.block_size, vocab_size=VOCABULARY.size
)


class CutOff(Exception):
    """The connection is gone."""


class FailingClient(EventClient):
    """A client whose connection ends after a few pieces."""

    pieces = 3

    def request(self, method: str, path: str, *rest: Any, **options: Any) -> Response:
        if method == "PATCH":
            self.pieces -= 1
            if self.pieces < 0:
                self.close()
                raise CutOff
        return super().request(method, path, *rest, **options)


def send(url: str, folder: Path) -> None:
    """Enter them all, and print what came of it as JSON."""
    poet, mutex, address = Poet.random(1, CONFIG, spread=0.05), threading.Lock(), Address.parse(url)

    def enter(number: int) -> tuple[int, bool]:
        path, name, is_cut_off = folder / f"{number}.verse", f"poet {number}", False
        with mutex:  # one at a time: the processor is for the server
            path.write_bytes(first_decided(poet, number))
        if number % CUT_OFF == 0:
            failing = FailingClient(address, secret_of(name))
            try:
                send_bundle(path, failing, name, fetch_event(failing))
            except CutOff:
                is_cut_off = True
        client = EventClient(address, secret_of(name))
        send_bundle(path, client, name, fetch_event(client))
        client.close()
        size = path.stat().st_size
        path.unlink()
        return size, is_cut_off

    start = time.perf_counter()
    with ThreadPoolExecutor(AT_ONCE) as people:
        sizes, cut_off = zip(*people.map(enter, range(BUNDLES)), strict=True)
    seconds = time.perf_counter() - start
    print(json.dumps({"bytes": sum(sizes), "cut off": sum(cut_off), "seconds": seconds}), flush=True)


def poll(port: int, is_over: Callable[[], bool]) -> Outcome:
    """Let the phones poll until it is over."""
    connected, chance, outcome = lines(port, PHONES), random.Random(1), Outcome()
    request = get("/api/v1/state")
    while not is_over():
        plan, number = [], 0
        for line in connected:
            for at in poll_times(WINDOW, chance):
                plan.append(Planned(at, number, line, request, "polls"))
                number += 1
        part = by_the_clock(plan)["polls"]
        outcome.latencies += part.latencies
        outcome.statuses += part.statuses
        outcome.seconds += part.seconds
        outcome.unanswered += part.unanswered
    hang_up(connected)
    return outcome


def main() -> None:
    """Run it: some minutes, most of them for checking the verses."""
    raise_descriptor_limit()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        evening = Evening(folder / "event", now=None).begin()
        server = evening.serve()
        meter = Meter(server.popen.pid)
        command = [sys.executable, "-c", "import sys; from pathlib import Path; from tests.bench import uploads; "]
        command[-1] += "uploads.send(sys.argv[1], Path(sys.argv[2]))"
        sender = subprocess.Popen([*command, evening.url, name], stdout=subprocess.PIPE, text=True)
        outcome = poll(server.port, lambda: sender.poll() is not None)
        output = sender.communicate()[0]
        if sender.returncode:
            raise RuntimeError("not every bundle was entered")
        result = json.loads(output)
        print(
            f"{BUNDLES} bundles of {result['bytes'] / BUNDLES / 1e6:.0f} MB entered, {AT_ONCE} at "
            f"once, in {result['seconds']:.0f} s ({result['bytes'] / result['seconds'] / 1e6:.0f} MB/s); "
            f"{result['cut off']} cut off and resumed"
        )
        print(
            f"{PHONES:,} phones meanwhile: {len(outcome.latencies):,} polls, "
            f"p50 {1000 * outcome.percentile(50):.1f} ms, "
            f"p99 {1000 * outcome.percentile(99):.1f} ms, slowest {1000 * outcome.percentile(100):.0f} ms, "
            f"{outcome.unanswered} unanswered, {dict(outcome.statuses)}; the server and its processes hold "
            f"{meter.memory() / 1e6:.0f} MB"
        )
        start = time.perf_counter()
        if not within(600, lambda: console_view(evening.db, now=evening.now).counts["verified"] == BUNDLES):
            raise RuntimeError(f"not every bundle is verified: {console_view(evening.db, now=evening.now).counts}")
        print(f"all of them are verified {time.perf_counter() - start:.0f} s later")
        evening.end()
