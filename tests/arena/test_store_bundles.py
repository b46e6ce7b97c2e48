"""Bundles on the disk: pieces in the spool, whole ones in the store."""

from __future__ import annotations

import hashlib
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from arena.store.bundles import BundleStore
from arena.store.spool import Spool


@pytest.fixture
def store(tmp_path: Path) -> BundleStore:
    store = BundleStore(tmp_path / "bundles")
    store.prepare()
    return store


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    spool = Spool(tmp_path / "incoming")
    spool.prepare()
    return spool


def test_a_part_grows_by_pieces_and_is_renamed_to_its_digest(store: BundleStore, spool: Spool) -> None:
    spool.start("e", b"head")
    spool.write("e", 4, b"tens")
    spool.write("e", 8, b"ors")
    spool.write("e", 4, b"tens")  # sent again
    part = spool.complete("e", 4, 11)
    assert part.digest == hashlib.sha256(b"headtensors").hexdigest()
    assert part.tensors_sha256 == hashlib.sha256(b"tensors").hexdigest() and part.size == 11
    for _ in range(2):  # a crash before the row was written: taken again
        store.put(spool.part("e"), part.digest)
    assert store.local_copy(part.digest).read_bytes() == b"headtensors"
    spool.drop("e")
    assert spool.parts() == [] and [path.name for path in store.local_copy("x").parent.iterdir()] == [
        f"{part.digest}.verse"
    ]


def test_a_part_taken_by_several_at_once_is_one_bundle(store: BundleStore, spool: Spool) -> None:
    spool.start("e", b"head")
    with ThreadPoolExecutor(4) as pool:
        for digest in map(str, range(100)):
            together = threading.Barrier(4)

            def take(digest: str = digest, together: threading.Barrier = together) -> None:
                together.wait()
                store.put(spool.part("e"), digest)

            for taken in [pool.submit(take) for _ in range(4)]:
                taken.result()
    assert store.leftovers() == spool.leftovers() == []
    assert all(store.local_copy(str(number)).read_bytes() == b"head" for number in range(100))


def test_bytes_beyond_the_end_are_cut_off(store: BundleStore, spool: Spool) -> None:
    spool.start("e", b"head")
    spool.write("e", 4, b"tensors and more")
    assert spool.complete("e", 4, 11).digest == hashlib.sha256(b"headtensors").hexdigest()
    store.put(spool.part("e"), "d")
    assert store.local_copy("d").read_bytes() == b"headtensors"


def test_a_part_begun_is_not_begun_again(store: BundleStore, spool: Spool) -> None:
    spool.start("e", b"head")
    spool.write("e", 4, b"tensors")
    spool.start("e", b"head")
    assert spool.part("e").read_bytes() == b"headtensors"


def test_a_bundle_is_copied_where_the_disk_has_no_hard_links(
    store: BundleStore, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(*_: object) -> None:
        raise OSError("this disk has none")

    monkeypatch.setattr(os, "link", no_links)
    spool.start("e", b"headtensors")
    store.put(spool.part("e"), "d")
    assert store.local_copy("d").read_bytes() == b"headtensors"
    spool.drop("e")
    with pytest.raises(FileNotFoundError):
        store.put(spool.part("e"), "f")


def test_pieces_without_a_part_are_an_error(store: BundleStore, spool: Spool) -> None:
    with pytest.raises(FileNotFoundError):
        spool.write("e", 0, b"x")
    spool.drop("e")
