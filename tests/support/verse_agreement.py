"""Verses of a trained checkpoint, written again in other ways, on other BLAS kernels and with other numbers of threads.

As a program, `python -m tests.support.verse_agreement FOLDER FIRST COUNT` writes the verses FIRST..FIRST+COUNT-1 of the
checkpoint kept in FOLDER and prints one JSON object: kernel, threads, a fingerprint of the kernel's rounding, and each
verse's ids digest, smallest gap and verdict. The environment (OPENBLAS_CORETYPE, OPENBLAS_NUM_THREADS) says how.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

from tests.support.small_models import Weights, is_decided
from trainer.verse.config import ModelConfig
from trainer.verse.generate import Written, regenerate
from trainer.verse.model import VerseModel
from trainer.verse.recipe import Recipe
from trainer.verse.replay import replay
from trainer.verse.threads import BlasThreads
from trainer.verse.vocabulary import Vocabulary

ROOT = Path(__file__).parents[2]
# What OpenBLAS calls the machine, and what numpy must find in this CPU before it may pretend to be one.
KERNELS = {
    "Prescott": set(),
    "Nehalem": set(),
    "Sandybridge": {"X86_V3", "AVX"},
    "Haswell": {"X86_V3", "AVX2"},
    "SkylakeX": {"X86_V4", "AVX512_SKX"},
}
THREADS = "OPENBLAS_NUM_THREADS"
PROMPT_LENGTHS = (1, 2, 17, 64, 255, 256, 257, 300)  # about the pieces in which a prompt is read, 256 tokens
TOKENS = 32


@dataclass(frozen=True)
class Checkpoint:
    """What a training run leaves for the verse."""

    config: ModelConfig
    vocabulary: Vocabulary
    weights: Weights
    text: tuple[int, ...]  # token ids of the corpus, for prompts

    def model(self) -> VerseModel:
        return VerseModel(self.config, self.weights)

    def save(self, folder: Path) -> None:
        save_file(self.weights, folder / "weights.safetensors")
        rest = {"config": self.config.to_dict(), "tokenizer": self.vocabulary.to_dict(), "text": self.text}
        (folder / "rest.json").write_text(json.dumps(rest), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Checkpoint:
        rest = json.loads((folder / "rest.json").read_text(encoding="utf-8"))
        config, vocabulary = ModelConfig.from_dict(rest["config"]), Vocabulary.from_dict(rest["tokenizer"])
        return cls(config, vocabulary, load_file(folder / "weights.safetensors"), tuple(rest["text"]))


def recipe_number(checkpoint: Checkpoint, number: int) -> Recipe:
    """Recipes of every kind as the numbers go by: prompts of many lengths, all temperatures, with and without lines."""
    rng = np.random.default_rng([2024, number])
    length = PROMPT_LENGTHS[number % len(PROMPT_LENGTHS)]
    variant = number // len(PROMPT_LENGTHS) % 2  # two prompts of each length
    start = 1000 * variant + length
    size = checkpoint.vocabulary.size
    return Recipe(
        prompt_ids=checkpoint.text[start : start + length],
        temperature=int(rng.choice((0, 1, 30, 60, 80, 80, 80, 100, 120, 200))),
        top_k=int(rng.choice((0, 0, 1, 2, 5, 20, size - 1, size))),
        seed=int(rng.integers(2**32)),
        tokens=int(rng.integers(TOKENS // 2, TOKENS + 1)),
        lines=int(rng.choice((0, 0, 1, 2))),
    )


def recipes_of(checkpoint: Checkpoint, first: int, count: int) -> list[Recipe]:
    return [recipe_number(checkpoint, number) for number in range(first, first + count)]


def summary(written: Written) -> list[Any]:
    """What must be the same, and what may differ by rounding alone."""
    certificate = written.certificate
    return [certificate.ids_sha256, certificate.smallest_gap, is_decided(written)]


def differences(ours: list[list[Any]], theirs: list[list[Any]]) -> list[str]:
    """Every verse that two evaluations write differently, or whose gaps they see differently."""
    different = []
    for number, (a, b) in enumerate(zip(ours, theirs, strict=True)):
        if a[0] != b[0] or a[2] != b[2] or abs(a[1] - b[1]) > 1e-9:
            different.append(f"verse {number}: {a} and {b}")
    return different


def openblas() -> ctypes.CDLL | None:
    """The BLAS that numpy brings along, where it is OpenBLAS."""
    package = Path(np.__file__).parent
    for folder in (package.parent / "numpy.libs", package / ".dylibs"):
        for library in folder.glob("*scipy_openblas64*"):
            return ctypes.CDLL(str(library))
    return None


def fingerprint() -> dict[str, Any]:
    """Which kernel runs, by its own word and by the last bits of a few products."""
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(64, 128)), rng.normal(size=(128, 512))
    products = [a @ b, a[:1] @ b, a[:3] @ b[:, :65], a @ b[:, 0]]
    facts: dict[str, Any] = {"bits": hashlib.sha256(b"".join(product.tobytes() for product in products)).hexdigest()}
    if (library := openblas()) is not None:
        library.scipy_openblas_get_corename64_.restype = ctypes.c_char_p
        facts["kernel"] = library.scipy_openblas_get_corename64_().decode()
        facts["threads"] = int(library.scipy_openblas_get_num_threads64_())
    return facts


def usable_kernels() -> list[str]:
    simd = np.show_config(mode="dicts")["SIMD Extensions"]  # type: ignore[call-overload, index]
    has = {*simd.get("baseline", ()), *simd.get("found", ())}
    return [name for name, needs in KERNELS.items() if not needs or needs & has]


def written_elsewhere(folder: Path, first: int, count: int, **environment: str) -> dict[str, Any]:
    """The same verses from another process with these environment variables."""
    command = [sys.executable, "-m", "tests.support.verse_agreement", str(folder), str(first), str(count)]
    completed = subprocess.run(command, cwd=ROOT, env=os.environ | environment, capture_output=True, check=False)
    if completed.returncode:
        raise RuntimeError(f"{environment}: {completed.stderr.decode(errors='replace')}")
    result: dict[str, Any] = json.loads(completed.stdout)
    return result


def main(folder: str, first: str, count: str) -> None:
    if THREADS in os.environ:
        BlasThreads.adapt = lambda threads, rows: threads.use(all_threads=True)  # as many as asked for, at any speed
    checkpoint = Checkpoint.load(Path(folder))
    model = checkpoint.model()
    written = regenerate(model, checkpoint.vocabulary, recipes_of(checkpoint, int(first), int(count)))
    verdicts = [replay(model, verse.recipe, verse.ids).verdict for verse in written]
    with BlasThreads(checkpoint.config) as threads:
        threads.adapt(1)
        facts = fingerprint()
    print(json.dumps(facts | {"verses": [summary(verse) for verse in written], "verdicts": verdicts}))


if __name__ == "__main__":
    main(*sys.argv[1:])
