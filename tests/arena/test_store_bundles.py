"""Bundles on the disk."""

from __future__ import annotations

import hashlib
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from arena.store.bundles import BundleStore


@pytest.fixture
def store(tmp_path: Path) -> BundleStore:
    store = BundleStore(tmp_path)
    store.prepare()
    return store


def test_a_part_grows_by_pieces_and_is_renamed_to_its_digest(store: BundleStore) -> None:
    store.start("e", b"head")
    store.write("e", 4, b"tens")
    store.write("e", 8, b"ors")
    store.write("e", 4, b"tens")  # sent again
    digests = store.digests(store.part("e"), 4)
    assert digests.file == hashlib.sha256(b"headtensors").hexdigest()
    assert digests.tensors == hashlib.sha256(b"tensors").hexdigest() and digests.size == 11
    for _ in range(2):  # a crash before the row was written: taken again
        store.take("e", digests.file, 11)
    assert store.path(digests.file).read_bytes() == b"headtensors"
    store.drop("e")
    assert store.parts() == [] and [path.name for path in store.path("x").parent.iterdir()] == [f"{digests.file}.verse"]


def test_a_part_taken_by_several_at_once_is_one_bundle(store: BundleStore) -> None:
    store.start("e", b"head")
    with ThreadPoolExecutor(4) as pool:
        for digest in map(str, range(100)):
            together = threading.Barrier(4)

            def take(digest: str = digest, together: threading.Barrier = together) -> None:
                together.wait()
                store.take("e", digest, 4)

            for taken in [pool.submit(take) for _ in range(4)]:
                taken.result()
    assert store.leftovers() == []
    assert all(store.path(str(number)).read_bytes() == b"head" for number in range(100))


def test_bytes_beyond_the_end_are_cut_off(store: BundleStore) -> None:
    store.start("e", b"head")
    store.write("e", 4, b"tensors and more")
    assert store.digests(store.part("e"), 4, 11).file == hashlib.sha256(b"headtensors").hexdigest()
    store.take("e", "d", 11)
    assert store.path("d").read_bytes() == b"headtensors"


def test_a_part_begun_is_not_begun_again(store: BundleStore) -> None:
    store.start("e", b"head")
    store.write("e", 4, b"tensors")
    store.start("e", b"head")
    assert store.part("e").read_bytes() == b"headtensors"


def test_a_bundle_is_copied_where_the_disk_has_no_hard_links(
    store: BundleStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(*_: object) -> None:
        raise OSError("this disk has none")

    monkeypatch.setattr(os, "link", no_links)
    store.start("e", b"headtensors")
    store.take("e", "d", 11)
    assert store.path("d").read_bytes() == b"headtensors"
    store.drop("e")
    with pytest.raises(FileNotFoundError):
        store.take("e", "f", 11)


def test_pieces_without_a_part_are_an_error(store: BundleStore) -> None:
    with pytest.raises(FileNotFoundError):
        store.write("e", 0, b"x")
    store.drop("e")
