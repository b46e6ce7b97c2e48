"""The second definition of a verse, in JavaScript: it says of every file what trainer.verse says."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pytest

from tests.support.browser import needs_chromium
from tests.support.bundle_parts import Parts
from tests.support.bundles import Poet
from tests.support.golden_checks import ATTACKS, GOLDEN, attack
from tests.support.javascript_engine import bundles_task, in_chromium, in_node, needs_node
from tests.support.small_models import LETTERS, golden_weights, make_recipe, random_weights
from tests.support.verse_cases import Case, attack_case, random_case
from trainer.verse.bundle import pack, parse_bundle
from trainer.verse.config import ModelConfig
from trainer.verse.errors import BundleError
from trainer.verse.generate import Written
from trainer.verse.recipe import Recipe
from trainer.verse.replay import replay
from trainer.verse.vocabulary import Vocabulary

FEW = 40  # verses; the campaign compares hundreds
TOLERANCE = 1e-9
Run = Callable[[dict[str, Any]], Any]


@pytest.fixture(
    params=[
        pytest.param("node", marks=needs_node),
        pytest.param("node without WebAssembly", marks=needs_node),
        pytest.param("chromium", marks=[pytest.mark.slow, needs_chromium]),
    ]
)
def run(request: pytest.FixtureRequest) -> Run:
    """The engine in Node, there without WebAssembly, and in Chromium."""
    if request.param == "node":
        return in_node
    if request.param == "node without WebAssembly":
        return lambda task: in_node(task, "--no-expose-wasm")
    browser = request.getfixturevalue("browser")
    return lambda task: in_chromium(browser, task)


def golden_bundle() -> bytes:
    golden = GOLDEN["bundle"]
    entry = GOLDEN["verses"][golden["verse"]]
    config = ModelConfig.from_dict(entry["config"])
    gaps = np.full(len(entry["ids"]), 1.0)
    gaps[entry["position"]] = golden["smallest_gap"]
    written = Written(Recipe.from_dict(entry["recipe"]), tuple(entry["ids"]), gaps)
    vocabulary = Vocabulary.from_dict(entry["tokenizer"])
    return pack(config, vocabulary, golden_weights(config, entry["weights"]), written, golden["provenance"])


def differences(cases: Iterable[Case], found: Iterable[dict[str, Any]]) -> list[str]:
    """What the two engines do not agree on."""
    different = []
    for number, (case, theirs) in enumerate(zip(cases, found, strict=True)):
        ours = replay(case.model, case.recipe, case.ids)
        verdict = [theirs.get(key) for key in ("verdict", "position", "expected", "claimed")]
        if verdict != [ours.verdict, ours.position, ours.expected, ours.got]:
            different.append(f"case {number}: {ours} and {theirs}")
        elif list(case.written.ids) != theirs["written"]:
            different.append(f"case {number}: another verse is written")
        elif abs(case.written.certificate.smallest_gap - theirs["writtenGap"]) > TOLERANCE:
            different.append(f"case {number}: another gap, {theirs['writtenGap']}")
    return different


def test_the_engine_in_javascript_reproduces_every_golden_vector(run: Run) -> None:
    assert run({"golden": GOLDEN, "bundle": bundles_task([golden_bundle()])["bundles"][0]}) == []


@needs_node
def test_products_are_computed_in_webassembly_where_there_is_any() -> None:
    assert in_node({"kernels": True}) is True
    assert in_node({"kernels": True}, "--no-expose-wasm") is False


def test_the_engine_in_javascript_answers_every_attack_as_its_index_says(run: Run) -> None:
    found = run(bundles_task(map(attack, ATTACKS)))
    answers = {name: [one.get("code", one.get("verdict"))] for name, one in zip(ATTACKS, found, strict=True)}
    assert answers == {name: list(expected.values()) for name, expected in ATTACKS.items()}


def test_a_token_has_at_most_16_characters_in_javascript_however_many_bytes_they_take(run: Run) -> None:
    merges = [(1, 1), (2, 2), (3, 3), (4, 4), (4, 0), (6, 0)]  # token 5: 16 emoji; 7: 8 and two line feeds
    vocabulary = Vocabulary.bpe("\n😀", merges)
    config = ModelConfig("modern", 1, 1, 8, 16, vocabulary.size)
    poet = Poet(random_weights(config, 1), config, vocabulary)
    verses = [poet.write(make_recipe(prompt_ids=(5,), seed=seed, lines=1)) for seed in range(20)]
    taken = poet.pack(next(written for written in verses if 5 in written.ids and written.ids[-1] == 7))
    refused = Parts.of(taken)
    refused.claim["tokenizer"]["merges"][4] = [5, 1]
    found = run(bundles_task([taken, refused.build()]))
    claim = parse_bundle(taken).claim
    assert [found[0]["text"], found[0]["prompt"]] == [claim.text, claim.prompt] and set(claim.text[-9:]) == {"😀"}
    assert found[1] == {"code": "tokenizer"}
    with pytest.raises(BundleError, match="17 characters"):
        parse_bundle(refused.build())


def test_a_tokenizer_of_one_symbol_is_refused_in_javascript(run: Run) -> None:
    parts = Parts.fresh()
    parts.claim["tokenizer"] = {"kind": "bpe", "symbols": "a", "merges": [[0, 0]] * (len(LETTERS.symbols) - 1)}
    assert run(bundles_task([parts.build()])) == [{"code": "tokenizer"}]


def test_verses_are_the_same_in_javascript(run: Run) -> None:
    cases = [random_case(number) for number in range(FEW)]
    assert differences(cases, run(bundles_task(case.data for case in cases))) == []
    assert {replay(case.model, case.recipe, case.ids).verdict for case in cases} >= {"PASS", "FAIL"}


def test_no_attack_model_passes_in_one_language_and_fails_in_the_other(run: Run) -> None:
    cases = [attack_case(number) for number in range(18)]
    assert contradictions(cases, run(bundles_task(case.data for case in cases))) == []


def contradictions(cases: list[Case], found: list[dict[str, Any]]) -> list[str]:
    """PASS in one language, FAIL in the other. UNDECIDED contradicts nothing: the estimate is of random moves."""
    wrong = []
    for number, (case, theirs) in enumerate(zip(cases, found, strict=True)):
        ours = replay(case.model, case.recipe, case.ids).verdict
        if {ours, theirs["verdict"]} == {"PASS", "FAIL"}:
            wrong.append(f"attack {number}: {ours} and {theirs['verdict']}")
    return wrong


@pytest.mark.campaign
@pytest.mark.parametrize("batch", range(6))
def test_hundreds_of_verses_are_the_same_in_javascript(run: Run, batch: int) -> None:
    cases = [random_case(number) for number in range(60 * batch, 60 * (batch + 1))]
    assert differences(cases, run(bundles_task(case.data for case in cases))) == []


@pytest.mark.campaign
@pytest.mark.parametrize("batch", range(4))
def test_hundreds_of_attack_models_contradict_no_engine_in_javascript(run: Run, batch: int) -> None:
    cases = [attack_case(number) for number in range(45 * batch, 45 * (batch + 1))]
    assert contradictions(cases, run(bundles_task(case.data for case in cases))) == []
