"""`arena selftest`: the digest that every machine prints, on every kernel, and what a machine that is wrong is told."""

from __future__ import annotations

import os
import subprocess

import pytest
from click.testing import CliRunner

from arena.cli import main
from arena.verification import selftest
from arena.verification.selftest import EXPECTED, ROUNDS, Outcome, digest_of, items
from tests.support.server import ARENA, ROOT
from tests.support.verse_agreement import openblas, usable_kernels

pytestmark = pytest.mark.slow


def test_the_short_test_gives_the_known_digest_and_one_line_to_compare() -> None:
    result = CliRunner().invoke(main, ["selftest", "--short"])
    assert result.exit_code == 0, result.output
    *_, said, line = result.output.splitlines()
    assert said.endswith("all are as on every machine that is known")
    assert line.startswith(f"selftest {EXPECTED[1]} short: verse-arena ") and "NumPy" in line and "Python" in line


@pytest.mark.skipif(openblas() is None, reason="numpy brings another BLAS here")
def test_another_kernel_and_number_of_threads_give_the_same_digest() -> None:
    kernel = usable_kernels()[0]
    environment = os.environ | {"OPENBLAS_CORETYPE": kernel, "OPENBLAS_NUM_THREADS": "1"}
    ran = subprocess.run([*ARENA, "selftest", "--short"], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert EXPECTED[1] in ran.stdout


def test_it_has_verses_that_pass_attacks_that_do_not_and_files_that_are_refused() -> None:
    outcomes = list(items(1))
    results = {outcome.result.split()[0] for outcome in outcomes}
    assert {"PASS", "UNDECIDED", "header-json", "weights"} <= results
    assert sum(outcome.result.startswith("PASS ") for outcome in outcomes) >= 40
    assert all(outcome.is_right for outcome in outcomes)
    assert set(EXPECTED) == {1, ROUNDS} and all(EXPECTED.values())
    assert len(set(map(digest_of, (outcomes, outcomes[1:], [Outcome("a", "b", True)])))) == 3


def test_a_machine_that_is_wrong_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = Outcome("model 3, seed 1", "FAIL 00", False)
    monkeypatch.setattr(selftest, "items", lambda rounds: iter([wrong]))
    result = CliRunner().invoke(main, ["selftest", "--short"])
    assert result.exit_code == 1
    assert "model 3, seed 1: FAIL 00\n" in result.output and "must not judge verses" in result.output
    monkeypatch.setattr(selftest, "items", lambda rounds: iter([Outcome("model 3, seed 1", "PASS 00", True)]))
    result = CliRunner().invoke(main, ["selftest", "--short"])
    assert result.exit_code == 1 and "writes other verses than those that are known" in result.output
