"""Fixtures that several test files share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.served import House


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """An event that takes entries, served over loopback."""
    house = House(tmp_path_factory.mktemp("house") / "event")
    house.open()
    house.serve()
    yield house
    house.end()
