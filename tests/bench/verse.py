"""How fast verses are written and verified, for an 0.8 M and a 10.7 M model, beside transformers if it is there."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from trainer.verse.bundle import pack
from trainer.verse.config import ModelConfig
from trainer.verse.generate import Written, regenerate
from trainer.verse.model import VerseModel, round_weights
from trainer.verse.recipe import Recipe
from trainer.verse.replay import replay
from trainer.verse.vocabulary import Vocabulary

RUNS = 3  # medians of so many, alternating with the peer
TOKENS = 256  # a verse
BATCH = 64  # verses at once
VOCABULARY = Vocabulary.chars("\n" + "".join(map(chr, range(32, 96))))  # 65 symbols, as both corpora have
MODELS = {
    "0.8 M modern": ModelConfig("modern", 4, 4, 128, 256, 65),
    "0.8 M gpt2": ModelConfig("gpt2", 4, 4, 128, 512, 65),
    "10.7 M modern": ModelConfig("modern", 6, 6, 384, 256, 65),
    "10.7 M gpt2": ModelConfig("gpt2", 6, 6, 384, 512, 65),
}


def main() -> None:
    """Print one table a model."""
    for name, config in MODELS.items():
        _report(name, _measure(config, os.environ.get("PEER")))


def _measure(config: ModelConfig, peer: str | None) -> dict[str, float]:
    """Median seconds of each thing done, in turn with the peer."""
    weights = random_weights(config)
    model = VerseModel(config, weights)
    recipes = [Recipe((0,), 80, 0, seed, TOKENS, 0) for seed in range(BATCH)]
    written = regenerate(model, VOCABULARY, recipes[:1])[0]  # warm
    times: dict[str, list[float]] = {}
    for _ in range(RUNS):
        _time(times, "one verse", lambda: regenerate(model, VOCABULARY, recipes[:1]))
        _time(times, "64 at once", lambda: regenerate(model, VOCABULARY, recipes))
        _time(times, "replay", lambda: replay(model, written.recipe, written.ids))
        _time(times, "arena verify", _verify(config, weights, written))
        if peer and config.arch == "gpt2":
            for what, seconds in _transformers(peer, config).items():
                times.setdefault(f"transformers, {what}", []).append(seconds)
    return {what: statistics.median(seconds) for what, seconds in times.items()}


def random_weights(config: ModelConfig) -> dict[str, NDArray[np.float16]]:
    """Weights that give lively logits: what a model says does not change how long it takes."""
    rng = np.random.default_rng(0)
    shapes = config.tensor_shapes()
    return round_weights(config, {n: rng.standard_normal(s) / s[-1] ** 0.5 for n, s in shapes.items()})


def _time(times: dict[str, list[float]], what: str, act: Callable[[], object]) -> None:
    start = time.perf_counter()
    act()
    times.setdefault(what, []).append(time.perf_counter() - start)


def _verify(config: ModelConfig, weights: dict[str, NDArray[np.float16]], written: Written) -> Callable[[], object]:
    data = pack(config, VOCABULARY, weights, written, {})

    def run() -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "bench.verse"
            path.write_bytes(data)
            code = f"import sys; sys.argv = ['arena', 'verify', {str(path)!r}]; from arena.cli import main; main()"
            subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)

    return run


def _transformers(python: str, config: ModelConfig) -> dict[str, float]:
    """Seconds that transformers' float32 `generate` takes for the same shape, for one verse and for 64."""
    script = Path(__file__).with_name("peer_transformers.py")
    shape = [config.n_layer, config.n_head, config.n_embd, config.block_size, config.vocab_size, TOKENS, BATCH]
    completed = subprocess.run([python, script, *map(str, shape)], check=True, capture_output=True, text=True)
    return dict(json.loads(completed.stdout.splitlines()[-1]))


def _report(name: str, seconds: dict[str, float]) -> None:
    print(f"| {name} | seconds | tokens/s | |\n|---|---|---|---|")
    counts = {"one verse": TOKENS, "64 at once": TOKENS * BATCH, "replay": TOKENS, "arena verify": TOKENS}
    for what, count in counts.items():
        against = seconds.get(f"transformers, {what}")
        ratio = f"{against / seconds[what]:.2f} x transformers' float32 ({count / against:.0f})" if against else ""
        print(f"| {what} | {seconds[what]:.3f} | {count / seconds[what]:.0f} | {ratio} |")
    print()
