"""Trainers that only say that they train: heartbeats with believable losses, sent to a real event.

`python -m tests.support.simulated_trainers URL 40 [SECONDS]` sends them to a server, as fast as the seconds say.
"""

from __future__ import annotations

import hashlib
import math
import random
import sys
import time
from dataclasses import dataclass, field
from typing import Any

from trainer.verse import strictjson

UNIFORM = 6.02  # bits per character of a model that knows nothing, 65 symbols
SAMPLES = (
    "The moon is up, and all the house asleep,\nAnd I have counted every nail in it.",
    "O love, be kind: the ferry will not wait\nFor such a little weight of gold as ours.",
    "When winter comes, my lord, the mice come in\nAnd sit like judges round the empty bread.",
    "Good night, my lady. Keep the candle low.\nThe stair has ears, the wall has twenty more.",
    "What is the sea but one great argument\nThat never ends, and never yet was lost?",
)


@dataclass
class SimulatedTrainer:
    """One participant's run."""

    rng: random.Random
    minutes: float  # that the run will take
    samples: bool
    steps: int = 2_000
    beats: int = 30
    begun_at: float = 0.0  # seconds since the epoch
    floor: float = field(init=False)
    speed: float = field(init=False)
    secret: str = field(init=False)
    run: str = field(init=False)

    def __post_init__(self) -> None:
        self.floor, self.speed = 1.95 + 0.5 * self.rng.random(), 4 + 5 * self.rng.random()
        self.secret = "simulated-" + hashlib.sha256(self.rng.randbytes(8)).hexdigest()[:30]
        self.run = self.rng.randbytes(16).hex()

    def beat(self, number: int, at: float | None = None) -> dict[str, Any]:
        """The heartbeat of this number, counted from 0 to `beats`."""
        share = number / self.beats
        bits = self.floor + (UNIFORM - self.floor) * math.exp(-self.speed * share**0.5) + 0.02 * self.rng.random()
        return {
            "at": self.begun_at + 60 * self.minutes * share if at is None else at,
            "step": round(self.steps * share),
            "steps": self.steps,
            "minutes": round(self.minutes * share, 3),
            "bits": round(bits, 4) if number else None,
            "checkpoint": hashlib.sha256(f"{self.run}{number}".encode()).hexdigest() if number else None,
            "sample": self.rng.choice(SAMPLES) if self.samples and number > 3 else "",
        }

    def body(self, numbers: range, sent_at: float, **more: Any) -> bytes:
        """A request with the heartbeats of these numbers."""
        beats = [self.beat(number) for number in numbers]
        return strictjson.dump({"run": self.run, "begun_at": self.begun_at, "sent_at": sent_at, "beats": beats} | more)


def simulate(count: int, seed: int = 1, begun_at: float = 0.0, minutes: float = 30.0) -> list[SimulatedTrainer]:
    """So many runs, each with its own length, some with samples."""
    rng = random.Random(seed)
    lengths = [minutes * (0.3 + 0.7 * rng.random()) for _ in range(count)]
    return [
        SimulatedTrainer(random.Random(rng.random()), length, samples=index % 3 == 0, begun_at=begun_at)
        for index, length in enumerate(lengths)
    ]


def main(url: str, count: int, seconds: float) -> None:
    """Send all heartbeats of so many runs to a server within so many seconds."""
    import urllib3

    pool = urllib3.PoolManager()
    now = time.time()
    runs = simulate(count, begun_at=now, minutes=seconds / 60)
    while (since := time.time() - now) < seconds + 5:
        for run in runs:
            done = min(run.beats, int(since / (60 * run.minutes) * run.beats))
            body = run.body(range(max(0, done - 3), done + 1), time.time())
            headers = {"Authorization": f"Bearer {run.secret}", "Content-Type": "application/json"}
            pool.request("POST", f"{url}/api/v1/heartbeats", body=body, headers=headers)
        time.sleep(2)


if __name__ == "__main__":
    main(sys.argv[1].rstrip("/"), int(sys.argv[2]), float(sys.argv[3]) if len(sys.argv) > 3 else 120.0)
