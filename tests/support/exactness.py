"""The attack models in every way of computing that this machine has: written there, and every claim checked there.

A cell is an environment (an OpenBLAS kernel, a number of threads) and an engine within it: BLAS, BLAS in pieces of
seven positions, sums term by term, PyTorch in float64. As a program, `python -m tests.support.exactness` reads the
models to write, or the claims to check, as JSON from its standard input; the environment says how.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

import trainer.verse.generate
import trainer.verse.replay
from tests.support.attack_models import FAMILIES, VOCABULARY, ExplicitSums, attack_model, attack_recipe
from tests.support.small_models import Weights, random_weights
from tests.support.verse_agreement import ROOT, THREADS, usable_kernels
from trainer.verse.config import ModelConfig
from trainer.verse.generate import regenerate
from trainer.verse.model import VerseModel
from trainer.verse.replay import replay
from trainer.verse.threads import BlasThreads

PIECE = 7
HONEST = "honest"
Claims = dict[str, list[tuple[int, ...]]]  # by model: the different verses that cells wrote


class TorchProducts(VerseModel):
    """The same model with PyTorch's products in float64."""

    def _linear(self, x: NDArray[np.float64], name: str) -> NDArray[np.float64]:
        import torch

        flat = torch.from_numpy(np.ascontiguousarray(x.reshape(-1, x.shape[-1])))
        y = torch.nn.functional.linear(flat, torch.from_numpy(self.weights[f"{name}.weight"])).numpy()
        bias = self.weights.get(f"{name}.bias")
        y = y.reshape(*x.shape[:-1], -1)
        return y if bias is None else y + bias


def model_names(first: int, count: int) -> list[str]:
    """Families in turn; an honest model in each round."""
    families = [*FAMILIES, HONEST]
    return [f"{families[number % len(families)]}/{number // len(families)}" for number in range(first, first + count)]


def load(name: str) -> tuple[ModelConfig, Weights, int]:
    family, seed = name.split("/")
    if family == HONEST:
        config = ModelConfig(("modern", "gpt2")[int(seed) % 2], 2, 2, 64, 64, VOCABULARY.size)
        return config, random_weights(config, int(seed), spread=0.2), int(seed)
    return *attack_model(family, int(seed)), int(seed)


def engines(config: ModelConfig, weights: Weights) -> dict[str, tuple[VerseModel, int]]:
    """Each engine of a cell, and the positions that it computes at once."""
    blas = VerseModel(config, weights)
    return {
        "blas": (blas, 256),
        "pieces": (blas, PIECE),
        "explicit": (ExplicitSums(config, weights), 256),
        "torch": (TorchProducts(config, weights), 256),
    }


def write_all(names: Sequence[str]) -> dict[str, list[list[int]]]:
    """What each engine writes, and BLAS in a batch, too."""
    written = {}
    for name in names:
        config, weights, seed = load(name)
        recipe = attack_recipe(seed)
        company = [recipe, *(replace(recipe, seed=seed + other) for other in (1, 2, 3))]
        found = set()
        for engine, (model, piece) in engines(config, weights).items():
            trainer.verse.generate.PREFILL = piece
            for recipes in ([recipe], company) if engine == "blas" else ([recipe],):
                found.add(regenerate(model, VOCABULARY, recipes)[0].ids)
        written[name] = sorted(map(list, found))
    return written


def check_all(claims: Mapping[str, Sequence[Sequence[int]]]) -> dict[str, list[dict[str, str]]]:
    """The verdict of each engine about each claim."""
    verdicts = {}
    for name, verses in claims.items():
        config, weights, seed = load(name)
        recipe = attack_recipe(seed)
        verdicts[name] = []
        for ids in verses:
            found = {}
            for engine, (model, piece) in engines(config, weights).items():
                trainer.verse.replay.CHUNK = piece
                found[engine] = replay(model, recipe, ids).verdict
            verdicts[name].append(found)
    return verdicts


def cells() -> dict[str, dict[str, str]]:
    """The environments of this machine."""
    kernels = {name: {"OPENBLAS_CORETYPE": name, THREADS: "1"} for name in usable_kernels()}
    return kernels | {"2 threads": {THREADS: "2"}}


def in_cell(cell: str, work: object) -> Any:
    """Let a process of this cell do some work."""
    completed = subprocess.run(
        [sys.executable, "-m", "tests.support.exactness"],
        cwd=ROOT,
        env=os.environ | cells()[cell],
        input=json.dumps(work).encode(),
        capture_output=True,
        check=False,
    )
    if completed.returncode:
        raise RuntimeError(f"{cell}: {completed.stderr.decode(errors='replace')}")
    return json.loads(completed.stdout)


def compare(names: Sequence[str], places: Sequence[str]) -> dict[str, dict[str, Any]]:
    """By model: how many verses the cells wrote, and how often each verdict was given about each of them.

    Args:
        names: The models.
        places: Names of environments.
    """
    claims: dict[str, set[tuple[int, ...]]] = {name: set() for name in names}
    for cell in places:
        for name, verses in in_cell(cell, {"write": list(names)}).items():
            claims[name] |= set(map(tuple, verses))
    ordered = {name: sorted(map(list, verses)) for name, verses in claims.items()}
    counts: dict[str, list[dict[str, int]]] = {name: [{} for _ in verses] for name, verses in ordered.items()}
    for cell in places:
        for name, verdicts in in_cell(cell, {"check": ordered}).items():
            for count, found in zip(counts[name], verdicts, strict=True):
                for verdict in found.values():
                    count[verdict] = count.get(verdict, 0) + 1
    return {name: {"verses": len(ordered[name]), "verdicts": counts[name]} for name in names}


def contradictions(results: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Models of which one claim passes in one cell and fails in another, or of which two different verses pass."""
    return [
        name
        for name, result in results.items()
        if any({"PASS", "FAIL"} <= count.keys() for count in result["verdicts"])
        or sum("PASS" in count for count in result["verdicts"]) > 1
    ]


def main() -> None:
    BlasThreads.adapt = lambda threads, rows: threads.use(all_threads=True)
    work = json.load(sys.stdin)
    print(json.dumps(write_all(work["write"]) if "write" in work else check_all(work["check"])))


if __name__ == "__main__":
    main()
