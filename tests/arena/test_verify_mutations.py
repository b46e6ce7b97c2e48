"""Verification of bundles damaged at random: each gets a verdict, and PASS only for the original verse."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from arena.verification.check import check_bundle
from tests.support.bundle_parts import bundle
from tests.support.damaged_bundles import mutant
from trainer.verse.bundle import parse_bundle


@pytest.mark.slow
def test_a_damaged_bundle_never_passes_as_another_verse_and_never_breaks_the_check(tmp_path: Path) -> None:
    path, whole = tmp_path / "bundle", parse_bundle(bundle()).claim
    verdicts: Counter[str] = Counter()
    for number in range(1000):
        path.write_bytes(mutant(number))
        report = check_bundle(path.read_bytes())
        assert report.verdict != "ERROR", f"bundle {number}: {report.reason}"
        if report.verdict == "PASS" and report.recipe == whole.recipe.to_dict():
            assert (report.text, report.tensors_sha256) == (whole.text, whole.tensors_sha256), f"bundle {number}"
        verdicts[report.verdict] += 1
    assert min(verdicts["MALFORMED"], verdicts["FAIL"], verdicts["PASS"]) > 0, verdicts
