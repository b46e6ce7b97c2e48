"""Examples in docstrings are true, in every module that has some."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import numpy as np
import pytest

HOME = Path(__file__).parents[1]
WITH_EXAMPLES = sorted(
    ".".join(path.relative_to(HOME).with_suffix("").parts)
    for package in ("trainer", "arena")
    for path in (HOME / package).rglob("*.py")
    if ">>> " in path.read_text(encoding="utf-8")
)


@pytest.mark.parametrize("module", WITH_EXAMPLES)
def test_the_examples_in_the_docstrings_are_true(module: str) -> None:
    outcome = doctest.testmod(importlib.import_module(module), extraglobs={"np": np})
    assert outcome.attempted
    assert not outcome.failed
