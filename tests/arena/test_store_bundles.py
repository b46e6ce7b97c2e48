"""Bundles on the disk: pieces in the spool, whole ones in the store."""

from __future__ import annotations

import errno
import hashlib
import os
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
    store.put(part.path, part.digest)
    assert store.local_copy(part.digest).read_bytes() == b"headtensors"
    assert spool.parts() == spool.complete_parts() == [] and [
        path.name for path in store.local_copy("x").parent.iterdir()
    ] == [f"{part.digest}.verse"]


def test_bytes_beyond_the_end_are_cut_off(store: BundleStore, spool: Spool) -> None:
    spool.start("e", b"head")
    spool.write("e", 4, b"tensors and more")
    part = spool.complete("e", 4, 11)
    assert part.digest == hashlib.sha256(b"headtensors").hexdigest()
    store.put(part.path, "d")
    assert store.local_copy("d").read_bytes() == b"headtensors"


def test_a_part_begun_is_not_begun_again(store: BundleStore, spool: Spool) -> None:
    spool.start("e", b"head")
    spool.write("e", 4, b"tensors")
    spool.start("e", b"head")
    assert spool.part("e").read_bytes() == b"headtensors"


def test_a_stored_file_of_other_bytes_than_its_name_says_is_replaced(store: BundleStore, spool: Spool) -> None:
    digest = hashlib.sha256(b"headtensors").hexdigest()
    store.local_copy(digest).write_bytes(b"headtensorz")
    assert not store.is_whole(digest)
    for _ in range(2):
        spool.start("e", b"headtensors")
        store.put(spool.complete("e", 4, 11).path, digest)
        assert store.is_whole(digest) and spool.complete_parts() == []
    assert not store.is_whole("0" * 64)


def test_a_bundle_is_copied_where_its_folder_is_on_another_disk(
    store: BundleStore, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace = os.replace

    def within_a_folder(source: Path, target: Path) -> None:
        if Path(source).parent != Path(target).parent:
            raise OSError(errno.EXDEV, "this is another disk")
        replace(source, target)

    monkeypatch.setattr(os, "replace", within_a_folder)
    spool.start("e", b"headtensors")
    part = spool.complete("e", 4, 11)
    store.put(part.path, part.digest)
    assert store.is_whole(part.digest) and spool.complete_parts() == store.leftovers() == []
    with pytest.raises(FileNotFoundError):
        store.put(part.path, "f")


def test_pieces_without_a_part_are_an_error(store: BundleStore, spool: Spool) -> None:
    with pytest.raises(FileNotFoundError):
        spool.write("e", 0, b"x")
    spool.drop("e")
