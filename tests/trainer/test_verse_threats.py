"""THREATS.md names tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]


def test_every_test_that_a_threat_names_exists() -> None:
    named = set(re.findall(r"`(test_\w+)`", (TESTS / "THREATS.md").read_text("utf-8")))
    source = "".join(path.read_text("utf-8") for path in TESTS.rglob("test_*.py"))
    assert len(named) > 20
    assert named <= set(re.findall(r"^def (test_\w+)\(", source, re.MULTILINE))


def test_every_threat_has_a_number_of_its_own() -> None:
    numbers = re.findall(r"^\| ([A-Z]\d+) \|", (TESTS / "THREATS.md").read_text("utf-8"), re.MULTILINE)
    assert len(numbers) == len(set(numbers)) > 20
