"""The snapshot in memory: rebuilt only when the database changes or a time in it passes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from arena.bootstrap import open_database, sqlite_url
from arena.server.snapshot import DatabaseSource, EncodedSnapshot, SnapshotKeeper
from arena.services.events import close_submissions, create_event, open_submissions
from arena.services.schemas import OpenMatch
from tests.support.server import BLANK, Notes, within


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def kept() -> Iterator[tuple[SnapshotKeeper, Notes, Clock]]:
    notes, clock = Notes(), Clock()
    keeper = SnapshotKeeper(lambda: notes, clock)
    keeper.start()
    yield keeper, notes, clock
    keeper.stop()


def test_the_etag_is_the_digest_of_the_body() -> None:
    one = EncodedSnapshot.of(BLANK, now=1.0)
    assert json.loads(one.body) == asdict(BLANK)
    assert one.body == json.dumps(asdict(BLANK), sort_keys=True, separators=(",", ":")).encode()
    assert one.etag == b'"' + hashlib.sha256(one.body).hexdigest()[:32].encode() + b'"'
    assert one.etag == EncodedSnapshot.of(replace(BLANK), now=2.0).etag


def test_a_change_of_the_database_reaches_the_snapshot_soon(kept: tuple[SnapshotKeeper, Notes, Clock]) -> None:
    keeper, notes, _ = kept
    notes.say(version=9)
    assert within(5, lambda: keeper.snapshot().version == 9)


def test_the_snapshot_is_not_rebuilt_when_nothing_changed(kept: tuple[SnapshotKeeper, Notes, Clock]) -> None:
    keeper, notes, clock = kept
    before = keeper.latest
    clock.now += 3_600
    assert not within(0.4, lambda: notes.builds > 1)
    assert keeper.latest is before


def test_the_snapshot_changes_when_a_closing_time_passes_without_a_write(
    kept: tuple[SnapshotKeeper, Notes, Clock],
) -> None:
    _, notes, clock = kept
    match = OpenMatch("r1m1", "Final", round=1, poll_round=0, opens_at=None, closes_at=1_060.0, paused=False, votes=0)
    notes.say(match=match)
    assert within(5, lambda: notes.builds == 2)
    clock.now = 1_059.9
    assert not within(0.3, lambda: notes.builds > 2)
    clock.now = 1_060.0
    assert within(5, lambda: notes.builds == 3)
    assert not within(0.3, lambda: notes.builds > 3), "once is enough"


def test_the_old_snapshot_is_kept_while_the_database_fails_and_replaced_afterwards(
    kept: tuple[SnapshotKeeper, Notes, Clock], caplog: pytest.LogCaptureFixture
) -> None:
    keeper, notes, _ = kept
    good = notes.said
    notes.say(version=float("nan"))
    assert within(5, lambda: notes.builds > 2)
    assert keeper.snapshot() == good
    notes.said = replace(good, version=3)
    assert within(5, lambda: keeper.snapshot().version == 3)
    assert "could not be rebuilt" in caplog.text


def test_a_write_by_any_process_reaches_the_snapshot(tmp_path: Path) -> None:
    """Another connection, as another process has it; the keeper's own reads are no writes."""
    url = sqlite_url(tmp_path / "arena.sqlite3")
    db, other = open_database(url), open_database(url)
    create_event(db, name="Evening", now=1.0)
    keeper = SnapshotKeeper(lambda: DatabaseSource(db))
    keeper.start()
    try:
        assert keeper.snapshot().state == "draft"
        open_submissions(other, now=2.0)
        assert within(5, lambda: keeper.snapshot().state == "open")
        close_submissions(db, now=3.0)
        assert within(5, lambda: keeper.snapshot().state == "closed")
        before = keeper.latest
        assert not within(0.3, lambda: keeper.latest is not before)
    finally:
        keeper.stop()
        for each in (db, other):
            each.dispose()
