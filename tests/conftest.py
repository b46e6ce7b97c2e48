"""What every test run shares: its fixtures, one thread a process, and the order of its files."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from hypothesis import settings

from tests.support.browser import browser

__all__ = ["browser"]

# Three workers on two cores: each process of numpy or torch takes one thread. Before any of them is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("GOMP_SPINCOUNT", "3000")  # as for the command: tests with two threads would wait for each other

# Tests start hundreds of processes of this code: what one has compiled the others read, wherever that is switched off.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

MEMORY_DISK = Path("/dev/shm")
MEMORY_DISK_BYTES = 4 * 2**30  # free at least; the tests need a quarter of it at once


def has_memory_disk() -> bool:
    """Whether temporary folders can lie in memory: a commit waits for a disk, and the tests make thousands."""
    if sys.platform != "linux" or not os.access(MEMORY_DISK, os.W_OK):
        return False
    disk = os.statvfs(MEMORY_DISK)  # tests run programs that they install, which not every such disk allows
    return disk.f_bavail * disk.f_frsize >= MEMORY_DISK_BYTES and not disk.f_flag & os.ST_NOEXEC


if has_memory_disk():
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY_DISK))


settings.register_profile("tests", deadline=None)  # on a busy machine an example may take any time
settings.load_profile("tests")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that have slow tests: a worker takes a file at a time, and should not end on a long one."""
    slow = {item.path for item in items if item.get_closest_marker("slow") is not None}
    items.sort(key=lambda item: item.path not in slow)
