"""What every test run shares: its fixtures, one thread a process, and which tests stay together on one worker."""

from __future__ import annotations

import os

import pytest

from tests.support.browser import browser

__all__ = ["browser"]

# Two workers on two cores: each process of numpy or torch takes one thread. Before any of them is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the tests of a file on one worker, so that its fixtures are made once; groups with slow tests come first.

    Tests that use the trained checkpoint are one group: it is trained once.
    """
    slow = set()
    for item in items:
        if item.get_closest_marker("xdist_group") is None:
            name = "trained" if "trained" in item.fixturenames else item.nodeid.split("::")[0]
            item.add_marker(pytest.mark.xdist_group(name))
        if item.get_closest_marker("slow") is not None:
            slow.add(_group(item))
    items.sort(key=lambda item: _group(item) not in slow)


def _group(item: pytest.Item) -> str:
    marker = item.get_closest_marker("xdist_group")
    assert marker is not None
    return str(marker.args[0])
