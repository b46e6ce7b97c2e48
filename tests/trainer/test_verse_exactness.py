"""Over every kernel, number of threads, batch and way to add: no verse passes in one place and fails in another."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.exactness import HONEST, cells, compare, contradictions, model_names
from tests.support.verse_agreement import openblas, usable_kernels

CAMPAIGN = 2_500  # models, of which 250 are honest
SHARE = 50  # models between two notes of what is done

pytestmark = pytest.mark.skipif(openblas() is None, reason="numpy brings another BLAS, which has no other kernels")


@pytest.mark.slow
def test_a_few_attack_models_never_pass_here_and_fail_there() -> None:
    kernels = usable_kernels()
    results = compare(["zero_row/0", "twin_rows/1", "switch/2", f"{HONEST}/0"], [kernels[0], kernels[-1]])
    assert contradictions(results) == []
    assert results[f"{HONEST}/0"]["verses"] == 1
    assert results[f"{HONEST}/0"]["verdicts"][0].keys() == {"PASS"}
    assert any(result["verses"] > 1 for result in results.values()), "rounding does choose some of these verses"


@pytest.mark.campaign
def test_two_thousand_attack_models_never_pass_here_and_fail_there() -> None:
    """What is done is kept in campaign/exactness.json; the next call continues."""
    notes = Path(__file__).parents[2] / "campaign" / "exactness.json"
    notes.parent.mkdir(exist_ok=True)
    done = json.loads(notes.read_text("utf-8")) if notes.exists() else {}
    while len(done) < CAMPAIGN:
        done |= compare(model_names(len(done), min(SHARE, CAMPAIGN - len(done))), list(cells()))
        assert contradictions(done) == []
        notes.write_text(json.dumps(done), "utf-8")
    honest = [result for name, result in done.items() if name.startswith(HONEST)]
    assert all(result["verses"] == 1 and result["verdicts"][0].keys() == {"PASS"} for result in honest)
