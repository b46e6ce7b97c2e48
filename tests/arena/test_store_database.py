"""The database: constraints, transactions of several writers, and migrations."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import event, insert, select, text, update
from sqlalchemy.exc import DatabaseError, IntegrityError
from sqlalchemy.orm import Session

from arena.bootstrap import open_database, sqlite_url
from arena.errors import DatabaseTooNew, EntryNotFound, LogBroken
from arena.services.bracket import close_match
from arena.services.log import START, append, head, record_hash, verify_log
from arena.services.queries import console_view, snapshot, stage_view
from arena.store.migrations import upgrade
from arena.store.schema import Base, Entry, LogRecord, Vote
from arena.store.unit_of_work import create_database_engine
from tests.support.bundles import verses
from tests.support.evening import Evening

ROOT = Path(__file__).resolve().parents[2]
INITIAL = Path(__file__).parent / "fixtures" / "0001_initial.sqlite3"  # README.md beside it says what is in it


@pytest.fixture(autouse=True)
def records_of_tests(evening: Evening) -> None:
    """Tests here write records and rows of their own."""
    evening.forged = True


def differences(url: str) -> list[object]:
    engine = create_database_engine(url)
    with engine.connect() as connection:
        found = list(compare_metadata(MigrationContext.configure(connection), Base.metadata))
    engine.dispose()
    return found


def test_migrations_create_the_tables_that_the_code_declares(tmp_path: Path) -> None:
    url = sqlite_url(tmp_path / "a #?% b.sqlite3")
    upgrade(url)
    upgrade(url)
    assert differences(url) == []


def test_processes_that_start_at_once_make_the_tables_once(tmp_path: Path) -> None:
    url = sqlite_url(tmp_path / "arena.sqlite3")
    code = f"from arena.store.migrations import upgrade; upgrade({url!r})"
    starting = [subprocess.Popen([sys.executable, "-c", code], cwd=ROOT) for _ in range(3)]
    assert [process.wait() for process in starting] == [0, 0, 0]
    assert differences(url) == []


def test_a_database_of_a_newer_version_is_refused_and_left_alone(tmp_path: Path) -> None:
    url = sqlite_url(tmp_path / "arena.sqlite3")
    upgrade(url)
    with sqlite3.connect(tmp_path / "arena.sqlite3") as raw:
        raw.execute("UPDATE alembic_version SET version_num = 'from_the_future'")
    raw.close()
    with pytest.raises(DatabaseTooNew):
        upgrade(url)


def test_a_database_of_the_first_version_opens_and_the_evening_goes_on(tmp_path: Path) -> None:
    shutil.copy(INITIAL, tmp_path / "arena.sqlite3")
    db = open_database(sqlite_url(tmp_path / "arena.sqlite3"))
    assert differences(sqlite_url(tmp_path / "arena.sqlite3")) == []
    assert verify_log(db) > 20
    stage = stage_view(db, now=2_000_000.0)
    assert stage.phase == "voting" and stage.open and stage.open.votes == 2
    assert {entry.state for entry in console_view(db, now=2_000_000.0).entries} == {
        "verified",
        "refused",
        "replaced",
        "withdrawn",
        "expired",
    }
    assert close_match(db, stage.open.id, poll_round=0, now=2_000_000.0).poll_round == 1
    db.dispose()


def test_every_connection_is_set_for_safety(evening: Evening) -> None:
    with evening.db.reading() as session:
        pragmas = {
            name: session.execute(text(f"PRAGMA {name}")).scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys")
        }
    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}


def test_the_database_itself_keeps_votes_at_one_a_voter(evening: Evening) -> None:
    evening.begin()
    evening.drawn(verses(2))
    row = {"match_id": "r1m1", "poll": 0, "poll_round": 0, "voter_id": "v", "choice": "upper", "shown_left": "upper"}
    with pytest.raises(IntegrityError), evening.db.writing() as session:
        session.execute(insert(Vote).values(**row, cast_at=1.0))
        session.execute(insert(Vote).values(**row | {"choice": "lower"}, cast_at=2.0))
    for wrong in ({"choice": "both"}, {"match_id": "r9m9"}):
        with pytest.raises(IntegrityError), evening.db.writing() as session:
            session.execute(insert(Vote).values(**row | wrong, cast_at=1.0))
    with evening.db.reading() as session:
        assert session.scalars(select(Vote)).all() == []


def test_the_database_itself_refuses_unknown_states_and_more_bytes_than_a_bundle_has(evening: Evening) -> None:
    evening.begin()
    evening.claim("ann", verses(1)[0])
    for values in ({"state": "winning"}, {"received": 10**9}):
        with pytest.raises(IntegrityError), evening.db.writing() as session:
            session.execute(update(Entry).values(**values))


def test_a_transaction_that_fails_leaves_nothing(evening: Evening) -> None:
    evening.begin()
    before = verify_log(evening.db)
    with pytest.raises(ZeroDivisionError), evening.db.writing() as session:
        append(session, "nothing", {}, now=1.0)
        _ = 1 // 0
    assert verify_log(evening.db) == before


def test_a_reader_sees_one_state_while_others_write(evening: Evening) -> None:
    evening.begin()
    with evening.db.reading() as session:
        before = head(session)
        evening.claim("ann", verses(1)[0])
        assert head(session) == before
    with evening.db.reading() as session:
        assert head(session) != before


def test_writers_from_two_processes_take_turns(evening: Evening, tmp_path: Path) -> None:
    """Another process holds the lock for a moment; ours waits instead of failing."""
    evening.begin()
    other = sqlite3.connect(tmp_path / "arena.sqlite3", isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    release = threading.Timer(0.2, lambda: other.execute("COMMIT"))
    release.start()
    assert evening.claim("ann", verses(1)[0]).offset
    release.join()
    other.close()


def test_the_change_detector_notices_the_writes_of_others_and_nothing_else(evening: Evening) -> None:
    evening.begin()
    watch = evening.db.change_detector()
    assert [watch.changed(), watch.changed()] == [True, False]
    snapshot(evening.db, now=evening.now)
    assert not watch.changed()
    evening.claim("ann", verses(1)[0])
    assert [watch.changed(), watch.changed()] == [True, False]
    watch.close()


# The log


def test_the_chain_is_what_anybody_can_recompute(evening: Evening) -> None:
    evening.begin()
    with evening.db.writing() as session:
        append(session, "note", {"b": [1, "ö"], "a": None}, now=5)
    with evening.db.reading() as session:
        records = session.scalars(select(LogRecord).order_by(LogRecord.number)).all()
    assert records[-1].data == '{"a":null,"b":[1,"ö"]}'
    previous = START
    for number, record in enumerate(records, start=1):
        assert record.number == number
        previous = record_hash(previous, number, record.at, record.kind, record.data)
        assert record.hash == previous
    golden = "6663339ad7b97a0cfad87c7f303411bb13eefe18189805a9e3d850613f93ae72"
    assert record_hash(START, 1, 5.0, "note", "{}") == golden


def test_the_log_cannot_be_changed_through_the_database(evening: Evening) -> None:
    evening.begin()
    for statement in ("UPDATE log SET kind = 'x'", "DELETE FROM log"):
        with pytest.raises(DatabaseError, match="append-only"), evening.db.writing() as session:
            session.execute(text(statement))


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE log SET data = '{}' WHERE number = 2",
        "UPDATE log SET at = at + 1 WHERE number = 2",
        "DELETE FROM log WHERE number = 2",
        "DELETE FROM log WHERE number = 1",
    ],
)
def test_a_log_record_changed_outside_the_services_breaks_the_chain(evening: Evening, statement: str) -> None:
    evening.begin()
    evening.claim("ann", verses(1)[0])
    with evening.db.writing() as session:
        session.execute(text("DROP TRIGGER log_no_update"))
        session.execute(text("DROP TRIGGER log_no_delete"))
        session.execute(text(statement))
    with pytest.raises(LogBroken):
        verify_log(evening.db)


def test_many_threads_write_one_chain(evening: Evening) -> None:
    evening.begin()

    def write(number: int) -> None:
        with evening.db.writing() as session:
            append(session, "note", {"number": number}, now=1.0)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(80)))
    assert verify_log(evening.db) == 82


def test_a_snapshot_takes_few_queries(evening: Evening) -> None:
    evening.begin()
    evening.drawn(verses(4))
    queries: list[str] = []
    engine = evening.db.engine
    event.listen(engine, "before_cursor_execute", lambda *args: queries.append(args[2]))
    snapshot(evening.db, now=evening.now)
    assert len(queries) <= 10


# Transactions that several threads share


def test_threads_that_share_a_transaction_all_get_their_own_result(evening: Evening) -> None:
    evening.begin()

    def write(number: int) -> object:
        def work(session: Session) -> int:
            if number % 5 == 0:
                raise EntryNotFound
            return append(session, "note", {"number": number}, now=1.0)

        try:
            return evening.db.submit(work)
        except EntryNotFound as refused:
            return refused.code

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(write, range(200)))
    assert answers.count("no-entry") == 40
    assert sorted(one for one in answers if isinstance(one, int)) == list(range(3, 163))
    assert verify_log(evening.db) == 162


def test_a_job_that_violates_a_constraint_fails_alone(evening: Evening) -> None:
    evening.begin()
    together = threading.Barrier(8)

    def write(number: int) -> str:
        def work(session: Session) -> str:
            append(session, "note", {"number": number}, now=1.0)
            if number == 3:
                session.execute(text("UPDATE events SET state = 'over'"))
            return "written"

        together.wait()
        try:
            return evening.db.submit(work)
        except IntegrityError:
            return "refused"

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(write, range(8)))
    assert answers == ["written"] * 3 + ["refused"] + ["written"] * 4
    assert verify_log(evening.db) == 2 + 7


def test_waiting_jobs_share_commits(evening: Evening) -> None:
    evening.begin()
    commits: list[object] = []
    event.listen(evening.db.engine, "commit", commits.append)
    with evening.db.writing():  # meanwhile twelve come
        jobs = [evening.db.enqueue(lambda s: append(s, "note", {}, now=1.0)) for _ in range(12)]
    assert [job.result() for job in jobs] == list(range(3, 15))
    assert len(commits) == 1 + 1 and verify_log(evening.db) == 14


def test_jobs_that_wait_are_done_before_the_database_is_closed(evening: Evening) -> None:
    evening.begin()
    with evening.db.writing():
        jobs = [evening.db.enqueue(lambda s: append(s, "note", {}, now=1.0)) for _ in range(100)]
    evening.db.dispose()
    assert [job.done() for job in jobs] == [True] * 100
    assert evening.db.submit(lambda session: head(session)[0]) == 102  # and it opens again
