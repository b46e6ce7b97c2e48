"""Entries made to escape the checks: no field of an entry switches off a check that it does not belong to."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.support.bundles import RECIPE, VOCABULARY, Poet
from trainer.checks import entry as checks
from trainer.checks.entry import Evidence, OtherEntry, Text, check_corpus, check_entry
from trainer.checks.likelihood import recited_share
from trainer.checks.limits import LIMITS, Finding
from trainer.verse.bundle import Bundle, parse_bundle
from trainer.verse.model import VerseModel
from trainer.verse.recipe import MAX_PROMPT_TOKENS

NONCE = "ab" * 32
OWNER = "1" * 64


def bundle_of(train: dict[str, Any] | None = None, poet: int = 1) -> Bundle:
    return parse_bundle(Poet.random(poet).pack(provenance={"train": train} if train else {}))


def find(bundle: Bundle, evidence: Evidence) -> dict[str, Finding]:
    return {finding.check: finding for finding in check_entry(bundle, OWNER, evidence)}


@pytest.mark.parametrize("seed", [True, -1, 2**63, 1.5, "1"])
def test_a_seed_that_no_run_has_leaves_only_the_check_of_the_start_open(seed: object) -> None:
    findings = find(bundle_of({"seed": seed, "nonce": NONCE, "owner": ""}), Evidence(nonce=NONCE))
    assert list(findings) == sorted(LIMITS, key=list(findings).index)
    assert findings["start"].verdict == "not checkable"
    assert findings["surprise"].number is not None and findings["prompt"].number is not None


@pytest.mark.parametrize("error", [ValueError("odd"), ZeroDivisionError("odd")])
def test_a_check_that_fails_is_not_checkable_and_the_others_are_made(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> Finding:
        raise error

    monkeypatch.setattr(checks, "check_surprise", fails)
    findings = find(bundle_of(), Evidence())
    assert findings["surprise"].verdict == "not checkable" and "odd" in findings["surprise"].detail
    assert findings["prompt"].number is not None and findings["verse"].number is not None


def test_a_verse_after_the_longest_prompt_is_recited_all_the_same() -> None:
    poet = Poet.random(1)
    recipe = replace(RECIPE, prompt_ids=(3,) * MAX_PROMPT_TOKENS)
    written = poet.write(recipe)
    model = VerseModel(poet.config, poet.weights)
    assert 0 <= recited_share(model, VOCABULARY, recipe, written.ids, 20) <= 1


@pytest.mark.parametrize("train", [{"seed": 7, "nonce": NONCE, "owner": "2" * 64}, None])
def test_a_copy_with_the_provenance_of_the_other_and_one_weight_changed_is_one_to_look_at(
    train: dict[str, Any] | None,
) -> None:
    copied = copy_of(train)
    assert copied.verdict == "look at it" and (copied.number or 0) > 0.99


def test_two_runs_for_no_event_may_begin_from_the_same_weights() -> None:
    copied = copy_of({"seed": 7, "nonce": "", "owner": ""})
    assert copied.verdict == "not checkable" and "for no event" in copied.detail


def copy_of(train: dict[str, Any] | None) -> Finding:
    """The check of a copy of another owner's entry, with one weight changed."""
    poet, provenance = Poet.random(1), {"train": train} if train else {}
    victim = parse_bundle(poet.pack(provenance=provenance))
    weights = {name: weight.copy() for name, weight in poet.weights.items()}
    weights["wte.weight"][5, 5] += 1
    thief = parse_bundle(Poet(weights).pack(provenance=provenance))
    other = OtherEntry("3" * 64, "2" * 64, "", lambda: victim.claim, lambda: victim)
    return find(thief, Evidence(others=(other,)))["copy"]


def test_held_out_text_of_one_letter_measures_nothing() -> None:
    bundle = bundle_of()
    model = VerseModel(bundle.claim.config, bundle.weights)
    finding = check_corpus(model, bundle, None, Text("kept", "a" * 50))
    assert finding.verdict == "not checkable" and "one character" in finding.detail
