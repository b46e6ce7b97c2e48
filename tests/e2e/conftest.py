"""Fixtures that several test files share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.evening import Evening


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Evening]:
    """An event that takes entries, served over loopback."""
    served = Evening(tmp_path_factory.mktemp("served") / "event", now=None).begin()
    served.serve()
    yield served
    served.end()
