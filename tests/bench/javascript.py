"""The verse engine in JavaScript beside the one in Python, in turn: one verse written, and one replayed.

Processor seconds are compared, since other programs change the time on the clock of both by any factor.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from tests.bench.verse import TOKENS, VOCABULARY, random_weights
from tests.support.javascript_engine import NODE, ROOT, why_no_node
from trainer.verse.bundle import pack
from trainer.verse.config import ModelConfig
from trainer.verse.generate import regenerate
from trainer.verse.model import VerseModel
from trainer.verse.recipe import Recipe
from trainer.verse.replay import replay

RUNS = 7  # medians of so many, after one to warm up
MODELS = {
    "0.4 M modern": ModelConfig("modern", 2, 2, 128, 256, 65),
    "0.4 M gpt2": ModelConfig("gpt2", 2, 2, 128, 512, 65),
    "10.7 M modern": ModelConfig("modern", 6, 6, 384, 256, 65),
    "10.7 M gpt2": ModelConfig("gpt2", 6, 6, 384, 512, 65),
}


def main() -> None:
    """Print a table with a row for each model."""
    if reason := why_no_node():
        print(f"left out: {reason}")
        return
    print(
        "| model | written: Python | JavaScript | ratio | replayed: Python | JavaScript | ratio | JavaScript’s memory |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for name, config in MODELS.items():
        print(_row(name, config), flush=True)


def _row(name: str, config: ModelConfig) -> str:
    weights = random_weights(config)
    model = VerseModel(config, weights)
    recipe = Recipe((0,), 80, 0, 1, TOKENS, 0)
    [written] = regenerate(model, VOCABULARY, [recipe])
    times: dict[str, list[float]] = {"py write": [], "js write": [], "py check": [], "js check": []}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bench.verse"
        path.write_bytes(pack(config, VOCABULARY, weights, written, {}))
        command = [str(NODE), "--no-warnings", str(ROOT / "tests/support/javascript/bench.js"), str(path)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdin is not None and process.stdout is not None
            for run in range(RUNS + 1):
                start = time.process_time()
                regenerate(model, VOCABULARY, [recipe])
                middle = time.process_time()
                replay(model, recipe, written.ids)
                python = middle - start, time.process_time() - middle
                process.stdin.write("\n")
                process.stdin.flush()
                found = json.loads(process.stdout.readline())
                if run:
                    for key, seconds in zip(times, (python[0], found["write"], python[1], found["check"]), strict=True):
                        times[key].append(seconds)
            process.stdin.close()
    medians = {key: statistics.median(seconds) for key, seconds in times.items()}
    write, check = medians["py write"] / medians["js write"], medians["py check"] / medians["js check"]
    speed = {key: f"{TOKENS / seconds:.0f} tokens/s" for key, seconds in medians.items()}
    return (
        f"| {name} | {speed['py write']} | {speed['js write']} | {write:.2f} "
        f"| {speed['py check']} | {speed['js check']} | {check:.2f} "
        f"| {found['memory'] / 1e6:.0f} MB, bundle {2 * config.n_params / 1e6:.0f} MB |"
    )
