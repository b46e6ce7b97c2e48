"""golden.json, which anybody's own program can be held against: the engine and the reference both find its numbers."""

from __future__ import annotations

import hashlib
import sys
from typing import Any

import numpy as np
import pytest

from tests.support import reference_engine as reference
from tests.support.golden_checks import ATTACKS, FOLDER, GOLDEN, attack
from tests.support.small_models import golden_weights, is_decided, plain
from trainer.verse.bundle import pack, parse_bundle
from trainer.verse.certificate import ENGINE, Certificate, ids_digest
from trainer.verse.claim import FORMAT
from trainer.verse.config import ModelConfig
from trainer.verse.decision import BOUND, bound_of, decide, judge
from trainer.verse.errors import BundleError, NotText
from trainer.verse.generate import Written, regenerate
from trainer.verse.model import VerseModel
from trainer.verse.noise import gumbel, gumbel_of, noise_integers
from trainer.verse.recipe import Recipe
from trainer.verse.replay import replay
from trainer.verse.text import LineEnd, is_control, verse_text
from trainer.verse.vocabulary import Vocabulary

TOLERANCE = 1e-9


def about(entry: dict[str, Any]) -> str:
    return str(entry["about"])


def test_the_golden_vectors_are_of_this_version() -> None:
    assert (GOLDEN["format"], GOLDEN["engine"]) == (FORMAT, ENGINE)


@pytest.mark.parametrize(("seed", "position", "token", "n", "g"), GOLDEN["noise"])
def test_golden_noise(seed: int, position: int, token: int, n: int, g: float) -> None:
    assert noise_integers(seed, position, np.array([token // 4]))[0, token % 4] == n
    assert reference.noise_integer(seed, position, token) == n
    assert gumbel_of(seed, position, np.array([token]))[0] == pytest.approx(g, abs=TOLERANCE)


@pytest.mark.parametrize("entry", GOLDEN["decisions"], ids=about)
def test_golden_decision(entry: dict[str, Any]) -> None:
    recipe = Recipe((0,), entry["temperature"], entry["top_k"], entry["seed"], 1024, 0)
    token, gap = decide(np.array(entry["logits"]), recipe, entry["position"])
    assert (token, gap) == (entry["token"], pytest.approx(entry["gap"], abs=TOLERANCE))


@pytest.mark.parametrize(("n", "g"), GOLDEN["gumbel"])
def test_golden_gumbel(n: int, g: float) -> None:
    assert gumbel(np.array([n], np.uint64))[0] == pytest.approx(g, abs=TOLERANCE)


@pytest.mark.parametrize("entry", GOLDEN["verdicts"], ids=about)
def test_golden_verdict(entry: dict[str, Any]) -> None:
    recipe = Recipe((0,), entry["temperature"], entry["top_k"], entry["seed"], 1024, 0)
    bound = bound_of(entry["estimate"])
    verdict, _ = judge(np.array(entry["logits"]), recipe, entry["position"], entry["claimed"], bound)
    assert verdict == entry["verdict"]


@pytest.mark.parametrize("entry", GOLDEN["replays"], ids=about)
def test_golden_replay(entry: dict[str, Any]) -> None:
    verse = GOLDEN["verses"][entry["verse"]]
    config = ModelConfig.from_dict(verse["config"])
    ids = list(verse["ids"])
    if entry["at"] is not None:
        ids[entry["at"]] = entry["by"]
    found = replay(VerseModel(config, golden_weights(config, verse["weights"])), Recipe.from_dict(verse["recipe"]), ids)
    assert found.bound == BOUND
    assert [found.verdict, found.position, found.expected, found.got] == [
        entry[key] for key in ("verdict", "position", "expected", "claimed")
    ]


@pytest.mark.parametrize("entry", GOLDEN["certificates"], ids=about)
def test_golden_certificate(entry: dict[str, Any]) -> None:
    certificate = Certificate.of([0] * len(entry["gaps"]), np.array(entry["gaps"]))
    assert (certificate.smallest_gap, certificate.position) == (entry["smallest_gap"], entry["position"])


def test_golden_characters() -> None:
    forbidden, allowed = GOLDEN["characters"]["forbidden"], GOLDEN["characters"]["allowed"]
    everything = (code for code in range(sys.maxunicode + 1) if not 0xD800 <= code < 0xE000)
    assert [code for code in everything if is_control(chr(code))] == forbidden
    assert not set(allowed) & set(forbidden)


@pytest.mark.parametrize("name", sorted(ATTACKS))
def test_every_attack_is_answered_as_its_index_says(name: str) -> None:
    [(kind, expected)] = ATTACKS[name].items()
    if kind == "code":
        with pytest.raises(BundleError) as caught:
            parse_bundle(attack(name))
        assert caught.value.code == expected
    else:
        read = parse_bundle(attack(name))
        model = VerseModel(read.claim.config, read.weights)
        assert replay(model, read.claim.recipe, read.claim.ids).verdict == expected


def test_the_attacks_break_most_rules_and_are_small() -> None:
    codes = {expected for entry in ATTACKS.values() for kind, expected in entry.items() if kind == "code"}
    assert len(codes) >= 20
    assert {path.name for path in FOLDER.joinpath("attacks").glob("*.verse")} == ATTACKS.keys()
    assert all(len(attack(name)) < 30_000 for name in ATTACKS)


@pytest.mark.parametrize("entry", GOLDEN["texts"], ids=about)
def test_golden_text(entry: dict[str, Any]) -> None:
    vocabulary = Vocabulary.from_dict(entry["tokenizer"])
    end = LineEnd(entry["lines"])
    ends = [count for count, token in enumerate(entry["ids"], start=1) if end.push(vocabulary.tokens[token])]
    assert (ends[0] if ends else None) == entry["ends_after"]
    kept = entry["ids"][: entry["ends_after"]]
    recipe = Recipe((0,), 0, 0, 0, 1024, entry["lines"])
    if entry["text"] is None:
        with pytest.raises(NotText):
            verse_text(vocabulary, recipe, kept)
    else:
        assert verse_text(vocabulary, recipe, kept) == entry["text"]
    assert reference.text_of(entry["tokenizer"], kept, entry["lines"]) == entry["text"]


@pytest.mark.parametrize("entry", GOLDEN["verses"], ids=about)
def test_golden_verse(entry: dict[str, Any]) -> None:
    config = ModelConfig.from_dict(entry["config"])
    model = VerseModel(config, golden_weights(config, entry["weights"]))
    vocabulary, recipe = Vocabulary.from_dict(entry["tokenizer"]), Recipe.from_dict(entry["recipe"])
    [written] = regenerate(model, vocabulary, [recipe])
    assert list(written.ids) == entry["ids"]
    assert is_decided(written)
    certificate = replay(model, recipe, written.ids).certificate
    for found in (written.certificate, certificate):
        assert found is not None
        assert found.smallest_gap == pytest.approx(entry["smallest_gap"], abs=TOLERANCE)
        assert (found.position, found.ids_sha256) == (entry["position"], entry["ids_sha256"])
    if entry["text"] is None:
        with pytest.raises(NotText):
            verse_text(vocabulary, recipe, written.ids)
    else:
        assert verse_text(vocabulary, recipe, written.ids) == entry["text"]


@pytest.mark.parametrize("entry", GOLDEN["verses"][:4], ids=about)
def test_the_reference_finds_the_golden_verse(entry: dict[str, Any]) -> None:
    config = ModelConfig.from_dict(entry["config"])
    weights = plain(golden_weights(config, entry["weights"]))
    ids, gaps = reference.write(entry["config"], weights, entry["tokenizer"], entry["recipe"])
    assert (ids, reference.ids_sha256(ids)) == (entry["ids"], entry["ids_sha256"])
    assert min(gaps) == pytest.approx(entry["smallest_gap"], abs=TOLERANCE)
    assert gaps.index(min(gaps)) == entry["position"]


def test_the_golden_bundle_is_the_same_file_to_the_last_byte() -> None:
    golden = GOLDEN["bundle"]
    entry = GOLDEN["verses"][golden["verse"]]
    config = ModelConfig.from_dict(entry["config"])
    weights = golden_weights(config, entry["weights"])
    gaps = np.full(len(entry["ids"]), 1.0)
    gaps[entry["position"]] = golden["smallest_gap"]  # stated: its last digits would be this machine's own
    written = Written(Recipe.from_dict(entry["recipe"]), tuple(entry["ids"]), gaps)
    data = pack(config, Vocabulary.from_dict(entry["tokenizer"]), weights, written, golden["provenance"])
    claim = parse_bundle(data).claim
    assert (len(data), claim.header_bytes) == (golden["bytes"], golden["header_bytes"])
    assert claim.tensors_sha256 == golden["tensors_sha256"]
    assert hashlib.sha256(data).hexdigest() == golden["sha256"]
    assert claim.certificate.ids_sha256 == ids_digest(claim.ids) == entry["ids_sha256"]
    other = reference.bundle(
        entry["config"],
        plain(weights),
        entry["tokenizer"],
        entry["recipe"],
        entry["ids"],
        golden["smallest_gap"],
        entry["position"],
        golden["provenance"],
    )
    assert other == data, "a writer made from SPEC.md alone gives the same bytes"
