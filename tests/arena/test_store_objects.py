"""Bundles in an object store: an S3-like server on loopback, and folders that two hosts share."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from arena.errors import BundlesUnreachable
from arena.settings import SettingsError, create_event_folder
from arena.store.bundles import BundleStore
from arena.store.objects import ObjectStore
from tests.support.bundles import verses
from tests.support.evening import Evening
from tests.support.object_store import ObjectServer

pytest.importorskip("obstore", reason="obstore is not installed: pip install 'verse-arena[cluster]'")
BUNDLE = b"any bytes" * 1_000
DIGEST = hashlib.sha256(BUNDLE).hexdigest()
URL = "s3://poems/event"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[ObjectServer]:
    server = ObjectServer()
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    yield server
    server.stop()


def host(folder: Path, url: str = URL) -> BundleStore:
    """The store as one host sees it, with a folder of its own."""
    store = BundleStore(folder, ObjectStore(url))
    store.prepare()
    return store


def put(store: BundleStore, folder: Path, data: bytes = BUNDLE, digest: str = DIGEST) -> None:
    source = folder / "source"
    source.write_bytes(data)
    store.put(source, digest)


@pytest.mark.parametrize("kind", ["s3", "file"])
def test_a_bundle_stored_by_one_host_is_read_by_another_and_kept_there(
    server: ObjectServer, tmp_path: Path, kind: str
) -> None:
    url = URL if kind == "s3" else (tmp_path / "shared").as_uri()
    one, two = host(tmp_path / "one", url), host(tmp_path / "two", url)
    assert not two.is_whole(DIGEST)
    put(one, tmp_path)
    assert two.is_whole(DIGEST) and two.local_copy(DIGEST).read_bytes() == BUNDLE
    assert [(stored.digest, stored.size) for stored in two.stored()] == [(DIGEST, len(BUNDLE))]
    one.remove(DIGEST)
    assert not one.is_whole(DIGEST) and two.stored() == []
    assert two.is_whole(DIGEST), "a copy is still what its name says"


def test_an_object_with_other_bytes_is_no_bundle_and_leaves_nothing(server: ObjectServer, tmp_path: Path) -> None:
    server.objects[f"/poems/event/{DIGEST}.verse"] = b"other bytes"
    store = host(tmp_path / "one")
    assert not store.is_whole(DIGEST) and list((tmp_path / "one").iterdir()) == []
    put(store, tmp_path)
    assert host(tmp_path / "two").is_whole(DIGEST), "the true bytes replace them"


def test_a_store_that_is_away_is_named_and_the_last_piece_can_be_sent_again(
    server: ObjectServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("arena.store.objects.RETRIES", 0)
    evening = Evening(tmp_path / "event")
    evening.bundles = host(tmp_path / "event" / "bundles")
    evening.begin()
    server.stop()
    with pytest.raises(BundlesUnreachable, match="s3://poems/event cannot be used"):
        evening.enter("ann", verses(1)[0])
    server.start()
    entry = evening.enter("ann", verses(1)[0])
    assert evening.verify_all() == 1
    with evening.db.reading() as session:
        from arena.store.schema import Entry

        assert session.get_one(Entry, entry).state == "verified"
    evening.end()


@pytest.mark.parametrize("url", ["ftp://host/x", "s3:///no-bucket", "poems"])
def test_an_address_that_is_no_object_store_is_refused(url: str) -> None:
    with pytest.raises(SettingsError, match="must look like s3://"):
        ObjectStore(url)


def test_an_object_store_needs_a_database_that_several_hosts_reach(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="--database-url"):
        create_event_folder(tmp_path / "event", bundles_url=URL)
