"""Many people enter large bundles at once while the room looks on: one in ten is cut off and resumed.

    python -m tests.bench uploads
    BUNDLES=200 AT_ONCE=20 PHONES=2000 python -m tests.bench uploads

The bundles hold 10.7 million weights, 21 MB each. The sender is a process of its own, with a thread a person; the
phones poll every four seconds, and their latencies count from when each poll was due.
"""

from __future__ import annotations

import json
import os
import queue
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

from arena.server.network import raise_descriptor_limit
from arena.services.queries import console_view
from tests.bench.load import Outcome, Planned, by_the_clock, hang_up, lines
from tests.bench.serving import POLL_EVERY, Meter, get
from tests.support.bundles import RECIPE, VOCABULARY, Poet
from tests.support.evening import Evening, secret_of
from tests.support.small_models import is_decided
from trainer.config import PRESETS
from trainer.submission.event import fetch_event
from trainer.submission.http_client import Address, EventClient, Response
from trainer.submission.upload import send_bundle
from trainer.verse.config import ModelConfig
from trainer.verse.text import verse_text

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
    numbers: queue.SimpleQueue[int] = queue.SimpleQueue()
    for number in range(BUNDLES):
        numbers.put(number)
    poet, results, mutex = Poet.random(1, CONFIG, spread=0.05), Counter[str](), threading.Lock()

    def bundle(number: int) -> bytes:
        for seed in range(100 * number, 100 * (number + 1)):
            written = poet.write(replace(RECIPE, seed=seed, tokens=16))
            if is_decided(written) and verse_text(VOCABULARY, written.recipe, written.ids).strip():
                return poet.pack(written)
        raise AssertionError("no seed writes a verse")

    def person() -> None:
        while True:
            try:
                number = numbers.get_nowait()
            except queue.Empty:
                return
            path = folder / f"{number}.verse"
            with mutex:  # writing verses is not what is measured
                path.write_bytes(bundle(number))
            name, address = f"poet {number}", Address.parse(url)
            if number % CUT_OFF == 0:
                failing = FailingClient(address, secret_of(name))
                try:
                    send_bundle(path, failing, name, fetch_event(failing))
                except CutOff:
                    results["cut off"] += 1
            client = EventClient(address, secret_of(name))
            send_bundle(path, client, name, fetch_event(client))
            client.close()
            results["entered"] += 1
            results["bytes"] += path.stat().st_size
            path.unlink()

    people = [threading.Thread(target=person) for _ in range(AT_ONCE)]
    start = time.perf_counter()
    for one in people:
        one.start()
    for one in people:
        one.join()
    print(json.dumps({**results, "seconds": time.perf_counter() - start}), flush=True)


def poll(port: int, is_over: Any) -> Outcome:
    """Let the phones poll until it is over."""
    connected, chance, outcome = lines(port, PHONES), random.Random(1), Outcome()
    request = get("/api/v1/state")
    while not is_over():
        plan, number = [], 0
        for line in connected:
            at = chance.uniform(0, POLL_EVERY)
            while at < WINDOW:
                plan.append(Planned(at, number, line, request, "polls"))
                number, at = number + 1, at + POLL_EVERY * chance.uniform(0.8, 1.2)
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
        result = json.loads(sender.communicate()[0])
        print(
            f"{result['entered']} bundles of {result['bytes'] / result['entered'] / 1e6:.0f} MB entered, {AT_ONCE} at "
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
        counts = console_view(evening.db, now=evening.now).counts
        while counts["verified"] < BUNDLES and time.perf_counter() - start < 600:
            time.sleep(1)
            counts = console_view(evening.db, now=evening.now).counts
        print(f"after {time.perf_counter() - start:.0f} s more: {dict(counts)}")
        evening.end()
        if counts["verified"] != BUNDLES:
            raise RuntimeError("not every bundle is verified")
