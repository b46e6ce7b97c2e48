"""A fixed set of models and verses, whose verdicts are the same on every machine: `arena selftest`.

All weights come from the verse's own noise, so that no library's random numbers decide what is tested:

files    the small files beside SPEC.md, each with its code
honest   random models of both architectures, and the model that comes along: every verse passes
attacks  weights that let rounding choose the verse, in two ways: no verse passes, whatever this machine wrote
"""

from __future__ import annotations

import hashlib
import json
import math
import platform
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_info

import trainer.verse
from arena.errors import ArenaError
from arena.processes import CODE_FOLDER
from arena.verification.check import check_bundle
from trainer.verse.bundle import read_bundle
from trainer.verse.config import ModelConfig
from trainer.verse.generate import regenerate
from trainer.verse.model import VerseModel, round_weights
from trainer.verse.noise import noise_integers
from trainer.verse.recipe import Recipe
from trainer.verse.replay import replay
from trainer.verse.vocabulary import Vocabulary

ROUNDS = 20  # of the whole test: about a minute on two cores
EXPECTED = {1: "5d98fbf1c2a40c74", ROUNDS: "479c7b19b5339121"}  # digests of the verdicts, by the number of rounds
VOCABULARY = Vocabulary.chars("\n abcdefghijklmn")
V = VOCABULARY.size
SMALL_MODELS, VERSES = 4, 8  # in a round
FOLIO_VERSES = 16
ATTACKS = ("twin rows", "shuffled rows")
Weights = dict[str, NDArray[np.float64]]


class SelftestIncomplete(ArenaError):
    """A file of this installation that the test needs is missing."""

    code = "selftest-incomplete"

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} is missing from this installation: install it again, or run the test in a clone")


@dataclass(frozen=True)
class Outcome:
    """What one item of the test gave."""

    name: str
    result: str  # a verdict or code, and the digest of a verse that passed
    is_right: bool


def items(rounds: int) -> Iterator[Outcome]:
    """Run the test item by item: the files, then the rounds.

    Raises:
        SelftestIncomplete: A file is missing.
    """
    yield from _files()
    for number in range(rounds):
        for model in range(SMALL_MODELS):
            yield from _small_model(SMALL_MODELS * number + model)
        yield from _folio_model(number)
        for attack in ATTACKS:
            yield _attack(attack, number)


def digest_of(outcomes: list[Outcome]) -> str:
    """Return a digest of everything that must be the same on every machine."""
    lines = [f"{outcome.name}: {outcome.result}\n" for outcome in outcomes]
    return hashlib.sha256("".join(lines).encode()).hexdigest()[:16]


def machine() -> str:
    """Name what may make a difference: versions, kernels and threads, in one line."""
    blas = [f"{one['internal_api']} {one.get('architecture') or '?'} {one.get('version')}, "
            f"{one['num_threads']} threads" for one in threadpool_info() if one["user_api"] == "blas"]  # fmt: skip
    return ", ".join(
        [
            f"verse-arena {version('verse-arena')}",
            f"Python {platform.python_version()}",
            f"NumPy {np.__version__}",
            *(blas or ["no known BLAS"]),
            f"{platform.system()} {platform.machine()}",
        ]
    )


def _files() -> Iterator[Outcome]:
    folder = Path(trainer.verse.__file__).parent / "attacks"
    try:
        index = json.loads((folder / "index.json").read_bytes())
        for name, expected in index.items():
            report = check_bundle((folder / name).read_bytes())
            wanted = expected.get("code") or expected.get("verdict")
            found = report.code if "code" in expected else report.verdict
            yield Outcome(name, str(found), found == wanted)
    except FileNotFoundError as error:
        raise SelftestIncomplete(str(error.filename)) from None


def _small_model(number: int) -> Iterator[Outcome]:
    arch = ("modern", "gpt2")[number % 2]
    config = ModelConfig(arch, 1 + number % 3, 2, (32, 64)[number // 2 % 2], 64, VOCABULARY.size)
    model = VerseModel(config, round_weights(config, _random_weights(config, number, 0.2)))
    recipes = [
        Recipe((0,), temperature=(0, 60, 100)[seed % 3], top_k=(0, 5)[seed % 2], seed=seed, tokens=32, lines=0)
        for seed in range(VERSES)
    ]
    yield from _write_and_check(f"model {number}", model, VOCABULARY, recipes)


def _folio_model(number: int) -> Iterator[Outcome]:
    name = Path("data") / "folio.verse"
    places = [folder / name for folder in (Path(trainer.verse.__file__).parents[1], Path(CODE_FOLDER))]
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        raise SelftestIncomplete(str(name))
    bundle = read_bundle(path)
    model = VerseModel(bundle.claim.config, bundle.weights)
    seeds = range(FOLIO_VERSES * number, FOLIO_VERSES * (number + 1))
    recipes = [Recipe(bundle.claim.recipe.prompt_ids, 80, 0, seed, tokens=200, lines=6) for seed in seeds]
    yield from _write_and_check("folio", model, bundle.claim.vocabulary, recipes)


def _write_and_check(name: str, model: VerseModel, vocabulary: Vocabulary, recipes: list[Recipe]) -> Iterator[Outcome]:
    """Write verses at once, each alone for every fourth, and replay all."""
    for index, written in enumerate(regenerate(model, vocabulary, recipes)):
        recipe, certificate = recipes[index], written.certificate
        verdict = replay(model, recipe, written.ids).verdict
        is_right = verdict == "PASS"
        if index % 4 == 0:
            is_right = is_right and regenerate(model, vocabulary, [recipe])[0].ids == written.ids
        yield Outcome(f"{name}, seed {recipe.seed}", f"{verdict} {certificate.ids_sha256}", is_right)


def _attack(kind: str, number: int) -> Outcome:
    """Check what this machine wrote with weights that let rounding choose: UNDECIDED, whatever it is."""
    config = ModelConfig("modern" if kind == "twin rows" else "gpt2", 2, 2, (32, 64, 128)[number % 3], 64, V)
    weights = (_twin_rows if kind == "twin rows" else _shuffled_rows)(config, 1_000 + number)
    model = VerseModel(config, round_weights(config, weights))
    recipe = Recipe((V - 1, 2), temperature=0, top_k=0, seed=number, tokens=24, lines=0)
    verdict = replay(model, recipe, regenerate(model, VOCABULARY, [recipe])[0].ids).verdict
    return Outcome(f"{kind} {number}", verdict, verdict == "UNDECIDED")


def _twin_rows(config: ModelConfig, seed: int) -> Weights:
    """Make mlp.c_proj = [p, -p] over rows of c_fc that stand there twice: exactly, nothing is added."""
    C, weights = config.n_embd, _random_weights(config, seed, 0.5)
    fc = 350 * _uniform(seed, 900, 2 * C * C).reshape(2 * C, C)
    rows = 350 * _uniform(seed, 901, 2 * C * C).reshape(C, 2 * C)
    weights["h.0.ln_2.weight"] = np.full(C, 500.0)
    weights["h.0.mlp.c_fc.weight"] = np.concatenate((fc, fc))
    weights["h.0.mlp.c_proj.weight"] = np.concatenate((rows, -rows), axis=1)
    return weights


def _shuffled_rows(config: ModelConfig, seed: int) -> Weights:
    """Let attention add one number to every channel, in a different order each: exactly, LayerNorm leaves nothing."""
    C = config.n_embd
    weights = {name: np.zeros(shape) for name, shape in config.tensor_shapes().items()}
    for layer in range(2):
        block = f"h.{layer}."
        weights[block + "ln_2.weight"][:] = 1000
        weights[block + "mlp.c_fc.weight"] = 500 * _uniform(seed, 10 * layer, 4 * C * C).reshape(4 * C, C)
        weights[block + "mlp.c_proj.weight"] = 500 * _uniform(seed, 10 * layer + 1, 4 * C * C).reshape(C, 4 * C)
    weights["h.0.ln_1.bias"] = 2 * _uniform(seed, 900, C)
    weights["h.0.attn.c_attn.weight"][2 * C :] = 50 * _uniform(seed, 901, C)
    orders = [np.argsort(_uniform(seed, 1_000 + row, C), kind="stable") for row in range(C)]
    weights["h.0.attn.c_proj.weight"] = np.stack([np.linspace(-300, 500, C)[order] for order in orders])
    weights["ln_f.weight"] = 2 * _uniform(seed, 902, C)
    weights["wte.weight"] = np.linspace(-1, 1, V)[:, None] * np.ones(C)
    return weights


def _random_weights(config: ModelConfig, seed: int, spread: float) -> Weights:
    """Return weights from the noise, evenly spread; gains near one."""
    weights = {}
    for index, (name, shape) in enumerate(sorted(config.tensor_shapes().items())):
        is_gain = name.endswith(".weight") and len(shape) == 1
        weights[name] = is_gain + spread * _uniform(seed, index, math.prod(shape)).reshape(shape)
    return weights


def _uniform(seed: int, stream: int, count: int) -> NDArray[np.float64]:
    """Return numbers from -1 to 1 by SPEC.md's noise: the same on every machine."""
    blocks = np.arange(-(-count // 4))
    return noise_integers(seed, stream, blocks).ravel()[:count].astype(np.float64) * 2.0**-51 - 1
