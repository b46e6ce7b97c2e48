"""Ways of computing a verse, as a table in which every two values of two factors meet: where verses must be equal.

As a program, `python -m tests.support.pairwise FOLDER FIRST COUNT` writes verses of the checkpoint kept in FOLDER in
the one way that the variable PAIRWISE names, and prints their digests, gaps and verdicts as JSON.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import trainer.verse.generate
import trainer.verse.replay
from tests.support.attack_models import ExplicitSums
from tests.support.exactness import TorchProducts
from tests.support.small_models import Weights
from tests.support.verse_agreement import ROOT, THREADS, Checkpoint, recipes_of, summary, usable_kernels
from trainer.verse.config import ModelConfig
from trainer.verse.generate import regenerate
from trainer.verse.model import VerseModel
from trainer.verse.replay import replay
from trainer.verse.threads import BlasThreads

Cell = dict[str, str]
PRODUCTS: dict[str, Callable[[ModelConfig, Weights], VerseModel]] = {
    "blas": VerseModel,
    "no blas": ExplicitSums,
    "torch float64": TorchProducts,
}
# An engine outside Python joins as one more value here, by a command that takes FOLDER FIRST COUNT and prints the same.
OTHER_ENGINES: dict[str, list[str]] = {}


def factors(numpys: Sequence[str]) -> dict[str, list[str]]:
    """The factors and their values on this machine.

    Args:
        numpys: folders that hold other versions of NumPy; "" for the installed one.
    """
    return {
        "kernel": usable_kernels(),
        "threads": ["1", "2"],
        "batch": ["alone", "together"],
        "tokens": ["cached", "replayed"],  # written one after the other and checked by fours, or checked many at once
        "product": [*PRODUCTS, *OTHER_ENGINES],
        "numpy": ["", *numpys],
    }


def pairwise(table: Mapping[str, Sequence[str]]) -> list[Cell]:
    """Choose rows so that every two values of two factors stand together in one: greedily, so nearly the fewest."""
    names = list(table)
    left = {
        ((a, x), (b, y)) for a, b in itertools.combinations(names, 2) for x, y in itertools.product(table[a], table[b])
    }
    rows = []
    while left:
        best = max(
            (dict(zip(names, values, strict=True)) for values in itertools.product(*table.values())),
            key=lambda row: len(left & _pairs(row)),
        )
        left -= _pairs(best)
        rows.append(best)
    return rows


def _pairs(row: Cell) -> set[tuple[tuple[str, str], tuple[str, str]]]:
    return set(itertools.combinations(row.items(), 2))


def written_in(cell: Cell, folder: Path, first: int, count: int) -> dict[str, Any]:
    """Let a process write the verses in this way."""
    paths = [cell["numpy"]] if cell["numpy"] else []
    environment = {
        "OPENBLAS_CORETYPE": cell["kernel"],
        THREADS: cell["threads"],
        "PAIRWISE": json.dumps(cell),
        "PYTHONPATH": os.pathsep.join([*paths, str(ROOT)]),
    }
    command = OTHER_ENGINES.get(cell["product"], [sys.executable, "-m", "tests.support.pairwise"])
    words = [*command, str(folder), str(first), str(count)]
    ran = subprocess.run(words, cwd=ROOT, env=os.environ | environment, capture_output=True, check=False)
    if ran.returncode:
        raise RuntimeError(f"{cell}: {ran.stderr.decode(errors='replace')}")
    result: dict[str, Any] = json.loads(ran.stdout)
    return result


def main(folder: str, first: str, count: str) -> None:
    cell: Cell = json.loads(os.environ["PAIRWISE"])
    BlasThreads.adapt = lambda threads, rows: threads.use(all_threads=True)
    if cell["product"] == "torch float64":
        import torch

        torch.set_num_threads(int(cell["threads"]))
    kept = Checkpoint.load(Path(folder))
    model = PRODUCTS[cell["product"]](kept.config, kept.weights)
    recipes = recipes_of(kept, int(first), int(count))
    if cell["tokens"] == "cached":
        trainer.verse.generate.PREFILL = 16
        trainer.verse.replay.CHUNK = 4
    if cell["batch"] == "together":
        verses = regenerate(model, kept.vocabulary, recipes)
    else:
        verses = [verse for recipe in recipes for verse in regenerate(model, kept.vocabulary, [recipe])]
    verdicts = [replay(model, verse.recipe, verse.ids).verdict for verse in verses]
    print(json.dumps({"numpy": np.__version__, "verses": [summary(v) for v in verses], "verdicts": verdicts}))


if __name__ == "__main__":
    main(*sys.argv[1:])
