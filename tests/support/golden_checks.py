"""Holds a verse engine in plain Python, the reference or a mistaken copy of it, against golden.json and the attacks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import trainer.verse
from tests.support.small_models import golden_weights, plain
from trainer.verse.config import ModelConfig

FOLDER = Path(trainer.verse.__file__).parent
GOLDEN: dict[str, Any] = json.loads((FOLDER / "golden.json").read_text(encoding="utf-8"))
ATTACKS: dict[str, dict[str, str]] = json.loads((FOLDER / "attacks" / "index.json").read_text(encoding="utf-8"))
NEEDS_ESTIMATE = "undecided-rounding-chooses.verse"  # the reference engine computes no estimate
TOLERANCE = 1e-9


@cache
def attack(name: str) -> bytes:
    return (FOLDER / "attacks" / name).read_bytes()


@cache
def weights_of(verse: int) -> dict[str, Any]:
    entry = GOLDEN["verses"][verse]
    return plain(golden_weights(ModelConfig.from_dict(entry["config"]), entry["weights"]))


def near(a: float, b: float) -> bool:
    return abs(a - b) <= TOLERANCE


def differences(engine: ModuleType) -> Iterator[str]:
    """Yield what the engine does not reproduce, cheap vectors first. An exception is a difference, too."""
    for name, check in CHECKS.items():
        try:
            wrong = list(check(engine))
        except Exception as error:  # a mistaken copy may fail in any way
            wrong = [repr(error)]
        yield from (f"{name}: {each}" for each in wrong)


def _noise(engine: ModuleType) -> Iterator[str]:
    for seed, position, token, n, g in GOLDEN["noise"]:
        if engine.noise_integer(seed, position, token) != n or not near(engine.gumbel(n), g):
            yield f"{seed}, {position}, {token}"


def _gumbel(engine: ModuleType) -> Iterator[str]:
    for n, g in GOLDEN["gumbel"]:
        if not near(engine.gumbel(n), g):
            yield str(n)


def _gumbels(engine: ModuleType, entry: dict[str, Any]) -> list[float]:
    return [
        engine.gumbel(engine.noise_integer(entry["seed"], entry["position"], j)) for j in range(len(entry["logits"]))
    ]


def _decisions(engine: ModuleType) -> Iterator[str]:
    for entry in GOLDEN["decisions"]:
        token, gap = engine.decide(entry["logits"], entry["top_k"], entry["temperature"], _gumbels(engine, entry))
        if token != entry["token"] or not near(gap, entry["gap"]):
            yield entry["about"]


def _verdicts(engine: ModuleType) -> Iterator[str]:
    for entry in GOLDEN["verdicts"]:
        step = entry["logits"], entry["top_k"], entry["temperature"], _gumbels(engine, entry)
        if engine.step_verdict(*step, entry["claimed"], entry["estimate"]) != entry["verdict"]:
            yield entry["about"]


def _texts(engine: ModuleType) -> Iterator[str]:
    for entry in GOLDEN["texts"]:
        recipe = {"lines": entry["lines"], "tokens": 1024}
        kept = entry["ids"][: entry["ends_after"]]
        if engine.ends_after(entry["tokenizer"], recipe, entry["ids"]) != entry["ends_after"]:
            yield f"{entry['about']}: its end"
        if engine.text_of(entry["tokenizer"], kept, entry["lines"]) != entry["text"]:
            yield entry["about"]


def _characters(engine: ModuleType) -> Iterator[str]:
    for allowed, codes in ((False, GOLDEN["characters"]["forbidden"]), (True, GOLDEN["characters"]["allowed"])):
        for code in codes:
            symbols = chr(code) + ("a" if code != 0x61 else "b")
            if (engine.text_of({"kind": "char", "symbols": symbols}, [1, 0, 1], 0) is not None) != allowed:
                yield f"U+{code:04X}"


def _certificates(engine: ModuleType) -> Iterator[str]:
    for entry in GOLDEN["certificates"]:
        if engine.closest(entry["gaps"]) != (entry["smallest_gap"], entry["position"]):
            yield entry["about"]


def _verses(engine: ModuleType) -> Iterator[str]:
    for number, entry in enumerate(GOLDEN["verses"]):
        recipe, prompt = entry["recipe"], entry["recipe"]["prompt_ids"]
        if number == 1:  # written token by token, to its end by lines; the others in one pass over the claimed text
            ids, gaps = engine.write(entry["config"], weights_of(number), entry["tokenizer"], recipe)
        else:
            ids, gaps = [], []
            rows = engine.logits(entry["config"], weights_of(number), [*prompt, *entry["ids"][:-1]])[len(prompt) - 1 :]
            for position, z in enumerate(rows):
                g = [engine.gumbel(engine.noise_integer(recipe["seed"], position, j)) for j in range(len(z))]
                token, gap = engine.decide(z, recipe["top_k"], recipe["temperature"], g)
                ids.append(token)
                gaps.append(gap)
        gap, position = engine.closest(gaps)
        if ids != entry["ids"] or not near(gap, entry["smallest_gap"]) or position != entry["position"]:
            yield entry["about"]
        if engine.ids_sha256(ids) != entry["ids_sha256"]:
            yield f"{entry['about']}: the digest"
        if engine.text_of(entry["tokenizer"], ids, recipe["lines"]) != entry["text"]:
            yield f"{entry['about']}: the text"


def _replays(engine: ModuleType) -> Iterator[str]:
    for entry in GOLDEN["replays"]:
        verse = GOLDEN["verses"][entry["verse"]]
        ids = list(verse["ids"])
        if entry["at"] is not None:
            ids[entry["at"]] = entry["by"]
        found = engine.verse_verdict(verse["config"], weights_of(entry["verse"]), verse["recipe"], ids)
        if list(found) != [entry[key] for key in ("verdict", "position", "expected", "claimed")]:
            yield entry["about"]


def _bundle(engine: ModuleType) -> Iterator[str]:
    golden = GOLDEN["bundle"]
    entry = GOLDEN["verses"][golden["verse"]]
    stated = golden["smallest_gap"], entry["position"], golden["provenance"]
    weights = weights_of(golden["verse"])
    data = engine.bundle(entry["config"], weights, entry["tokenizer"], entry["recipe"], entry["ids"], *stated)
    if engine.hashlib.sha256(data).hexdigest() != golden["sha256"]:
        yield "its bytes"


def _attacks(engine: ModuleType) -> Iterator[str]:
    for name, expected in ATTACKS.items():
        if name != NEEDS_ESTIMATE and [engine.judge(attack(name))] != list(expected.values()):
            yield name


CHECKS = {
    "noise": _noise,
    "gumbel": _gumbel,
    "decisions": _decisions,
    "verdicts": _verdicts,
    "texts": _texts,
    "characters": _characters,
    "certificates": _certificates,
    "bundle": _bundle,
    "attacks": _attacks,
    "verses": _verses,
    "replays": _replays,
}
