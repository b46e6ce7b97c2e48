"""Fixtures: a poet, two of its verses, and a file of every kind that `arena verify` may meet."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.bundles import RECIPE, Poet, torn_poet
from tests.support.evening import Evening
from tests.support.small_models import is_decided
from trainer.verse.generate import Written


@pytest.fixture
def evening(tmp_path: Path) -> Iterator[Evening]:
    """A fresh event folder with an open database, whose tables must follow from its log when the test has ended."""
    evening = Evening(tmp_path / "event")
    yield evening
    if not evening.forged:
        assert evening.differences() == []
    evening.end()


@pytest.fixture
def poet() -> Poet:
    return Poet.random(1)


@pytest.fixture
def other_seed(poet: Poet) -> tuple[Written, Written]:
    """The verse of seed 7, and that of another seed which starts alike and then differs."""
    mine = poet.write()
    for seed in range(8, 200):
        other = poet.write(replace(RECIPE, seed=seed))
        if other.ids != mine.ids and other.ids[0] == mine.ids[0] and is_decided(other):
            return mine, other
    raise AssertionError("every seed writes the same verse")


@pytest.fixture
def kinds(tmp_path: Path, poet: Poet, other_seed: tuple[Written, Written]) -> Callable[[str], Path]:
    """Makes one file of the kind asked for; returns its path."""

    def make(kind: str) -> Path:
        path = tmp_path / kind
        mine, other = other_seed
        match kind:
            case "pass":
                path.write_bytes(poet.pack())
            case "fail":
                path.write_bytes(poet.pack(replace(mine, recipe=other.recipe)))
            case "undecided":
                path.write_bytes(torn_poet(poet).pack(torn_poet(poet).write(replace(RECIPE, temperature=0))))
            case "malformed":
                path.write_text("To be, or not to be: that is the question.\n")
            case "empty":
                path.touch()
            case "folder":
                path.mkdir()
            case "missing":
                pass
        return path

    return make
