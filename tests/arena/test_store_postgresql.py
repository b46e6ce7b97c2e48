"""An evening on PostgreSQL: a server in a temporary folder, reached by a Unix socket only."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from click.testing import CliRunner, Result
from sqlalchemy import func, insert, select, text
from sqlalchemy.exc import DatabaseError, IntegrityError
from sqlalchemy.orm import Session

from arena.bootstrap import open_database, open_event
from arena.cli import main
from arena.errors import BytesLost, DatabaseBusy, DatabaseTooNew, DatabaseUnreachable, QuotaReached
from arena.scheduler import Scheduler
from arena.services.bracket import close_due, close_match, set_match_time
from arena.services.disqualification import disqualify_all
from arena.services.entries import expire_claims
from arena.services.log import append, head, verify_log
from arena.services.practice import PRACTICE_SECONDS, cast_practice, open_practice
from arena.services.publishing import publish
from arena.services.queries import console_view, results_view, snapshot
from arena.services.rounds import resume
from arena.services.schemas import EventRules
from arena.services.verification import claim_next
from arena.settings import create_event_folder
from arena.store import unit_of_work
from arena.store.migrations import upgrade
from arena.store.schema import Base, Entry, Match, Vote
from arena.store.unit_of_work import create_database_engine
from tests.arena.test_evening_of_heats import play_heats
from tests.support.bundles import verse, verses
from tests.support.evening import Evening, secret_of
from tests.support.postgresql import NEEDS_POSTGRESQL, PostgresServer
from tests.support.server import within

ROOT = Path(__file__).resolve().parents[2]

pytest.importorskip("psycopg", reason="psycopg is not installed: pip install 'verse-arena[postgresql]'")


pytestmark = NEEDS_POSTGRESQL


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    server = PostgresServer()
    yield server
    server.end()


@pytest.fixture
def url(server: PostgresServer) -> str:
    """The URL of a new, empty database."""
    return server.new_database()


@pytest.fixture
def evening(url: str, tmp_path: Path) -> Iterator[Evening]:
    evening = Evening(tmp_path / "event", database_url=url)
    yield evening
    evening.end()


def test_an_evening_runs_from_the_first_claim_to_the_published_results(evening: Evening) -> None:
    evening.begin()
    evening.enter("poet0", verses(5)[4])  # replaced by the next
    first, second, third, _ = evening.drawn(verses(4))
    with evening.db.reading() as session:
        texts = {entry.id: entry.text for entry in session.scalars(select(Entry))}
    assert evening.decide("r1m1", texts[first]).winner == first
    assert evening.decide("r1m2", texts[second]).winner == second
    evening.decide("third", texts[third])
    evening.decide("r2m1", texts[first])
    publish(evening.db, now=evening.now)
    state = snapshot(evening.db, now=evening.now)
    assert state.phase == "published"
    results = results_view(evening.db, now=evening.now)
    assert results.champion and results.champion.entry == first
    assert verify_log(evening.db) > 20


def test_a_tie_is_voted_on_again_and_then_decided_by_lot(evening: Evening) -> None:
    authors = evening.create().voting()
    with evening.db.reading() as session:
        match = session.get_one(Match, "r1m1")
    assert len(authors) == 4
    evening.tie("r1m1")
    evening.now += 1
    assert close_match(evening.db, "r1m1", poll_round=0, now=evening.now).poll_round == 1
    evening.now += 1
    result = close_match(evening.db, "r1m1", poll_round=1, now=evening.now)
    assert result.decided_by == "draw" and result.winner in (match.upper_id, match.lower_id)


def test_heats_rounds_and_practice_run_on_it(evening: Evening) -> None:
    evening.create()
    open_practice(evening.db, now=evening.now)
    cast_practice(evening.db, secret_of("vera"), "left", now=evening.now)
    close_due(evening.db, now=evening.now + PRACTICE_SECONDS)
    assert snapshot(evening.db, now=evening.now).practice is None
    play_heats(evening)


def test_twenty_voters_of_two_processes_each_count_once(evening: Evening, url: str) -> None:
    """Two databases of one URL share nothing but the server, as two processes do."""
    authors = evening.create().voting()
    with evening.db.reading() as session:
        upper = session.get_one(Match, "r1m1").upper_id
    (verse,) = [author.text for author in authors if author.entry == upper]
    other = Evening(evening.folder)
    together = threading.Barrier(20)

    def vote(number: int) -> None:
        place = (evening, other)[number % 2]
        together.wait()
        for _ in range(2):
            place.vote(f"voter{number}", "r1m1", verse)

    before = verify_log(evening.db)
    with ThreadPoolExecutor(20) as pool:
        list(pool.map(vote, range(20)))
    with evening.db.reading() as session:
        assert session.scalar(select(func.count()).select_from(Vote)) == 20
    assert verify_log(evening.db) == before, "votes make no record before they are counted"
    other.end()


def test_the_change_detector_notices_commits_that_changed_something_and_nothing_else(evening: Evening) -> None:
    evening.begin()
    other = Evening(evening.folder)
    detector = other.db.change_detector()
    assert [detector.changed(), detector.changed()] == [True, False]
    snapshot(evening.db, now=evening.now)
    assert evening.lease() is None
    with evening.db.writing() as session:
        head(session)
    with pytest.raises(ZeroDivisionError), evening.db.writing() as session:
        append(session, "nothing", {}, now=1.0)
        _ = 1 // 0
    assert not detector.changed()
    evening.claim("ann", verses(1)[0])
    assert [detector.changed(), detector.changed()] == [True, False]
    detector.close()
    other.end()


def test_a_reader_sees_one_state_while_others_write_and_cannot_write(evening: Evening) -> None:
    evening.begin()
    with evening.db.reading() as session:
        before = head(session)
        evening.claim("ann", verses(1)[0])
        assert head(session) == before
        with pytest.raises(DatabaseError, match="read-only"):
            session.execute(insert(Vote))
    with evening.db.reading() as session:
        assert head(session) != before


def test_the_log_cannot_be_changed_through_the_database(evening: Evening) -> None:
    evening.begin()
    for statement in ("UPDATE log SET kind = 'x'", "DELETE FROM log", "TRUNCATE log"):
        with pytest.raises(DatabaseError, match="append-only"), evening.db.writing() as session:
            session.execute(text(statement))


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


def test_processes_that_start_at_once_make_the_tables_that_the_code_declares_once(url: str) -> None:
    code = f"from arena.store.migrations import upgrade; upgrade({url!r})"
    starting = [subprocess.Popen([sys.executable, "-c", code], cwd=ROOT) for _ in range(3)]
    assert [process.wait() for process in starting] == [0, 0, 0]
    engine = create_database_engine(url)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []
    engine.dispose()


def test_a_database_of_a_newer_version_is_refused(url: str) -> None:
    db = open_database(url)
    with db.writing() as session:
        session.execute(text("UPDATE alembic_version SET version_num = 'from_the_future'"))
    db.dispose()
    with pytest.raises(DatabaseTooNew):
        upgrade(url)


def test_a_database_that_postgresql_does_not_have_is_named(server: PostgresServer) -> None:
    with pytest.raises(DatabaseUnreachable, match='"nowhere" does not exist'):
        open_database(server.url("nowhere"))


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1"])
def test_a_database_that_lacks_characters_is_refused_before_anything_is_in_it(
    server: PostgresServer, encoding: str, tmp_path: Path
) -> None:
    url = server.new_database(encoding)
    made = CliRunner().invoke(main, ["init", str(tmp_path / "event"), "--database-url", url])
    assert made.exit_code == 1 and encoding in made.output and "--encoding=UTF8" in made.output, made.output
    assert not (tmp_path / "event").exists()


def test_a_lock_that_another_program_holds_too_long_is_called_so(
    evening: Evening, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    evening.begin()
    monkeypatch.setattr(unit_of_work, "BUSY_SECONDS", 0.1)
    impatient = open_database(url)
    with evening.db.writing(), pytest.raises(DatabaseBusy), impatient.writing():
        pass
    with impatient.writing():
        pass
    impatient.dispose()


def test_a_connection_that_postgresql_ends_is_reported_and_the_next_one_works(evening: Evening) -> None:
    evening.begin()
    with pytest.raises(DatabaseUnreachable), evening.db.writing() as session:
        session.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
    assert snapshot(evening.db, now=evening.now).phase == "entering"


def test_init_makes_an_event_in_postgresql_and_commands_use_it(url: str, tmp_path: Path) -> None:
    def arena(*words: str) -> Result:
        return CliRunner().invoke(main, list(words), prog_name="arena")

    folder = tmp_path / "event"
    made = arena("init", str(folder), "--name", "Poets", "--database-url", url)
    assert made.exit_code == 0, made.output
    assert "Poets: draft" in arena("event", "show", "--dir", str(folder)).output
    assert not (folder / "arena.sqlite3").exists()
    again = arena("init", str(tmp_path / "other"), "--database-url", url)
    assert again.exit_code == 1 and "already holds the event 'Poets'" in again.output
    assert not (tmp_path / "other").exists()


def test_places_promises_and_the_queue_hold_in_postgresql(evening: Evening) -> None:
    evening.begin(EventRules(max_entries=3))
    greedy = [evening.enter("eve", bundle) for bundle in verses(3)[:2]]
    evening.now += 1
    honest = evening.enter("ann", verse(3))
    evening.claim("bob", verse(4))
    with pytest.raises(QuotaReached):
        evening.claim("carl", verse(5))
    first = claim_next(evening.db, worker="one", lease_seconds=30.0, memory=300 * 2**20, now=evening.now)
    assert first and first.entry == greedy[0]
    assert claim_next(evening.db, worker="two", lease_seconds=30.0, memory=300 * 2**20, now=evening.now) is None
    second = claim_next(evening.db, worker="two", lease_seconds=30.0, memory=600 * 2**20, now=evening.now)
    assert second and second.entry == honest
    assert evening.verify_all() == 1 and expire_claims(evening.db, now=evening.now + 1_000) == 1
    assert disqualify_all(evening.db, [*greedy, honest], "a program", now=evening.now)


def test_two_hosts_give_the_last_places_once_and_number_the_log_without_gaps(evening: Evening, url: str) -> None:
    evening.begin(EventRules(max_entries=3))
    other = Evening(evening.folder)
    together = threading.Barrier(8)

    def claim(number: int) -> str:
        together.wait()
        try:
            (evening, other)[number % 2].claim(f"poet{number}", verse(number))
        except QuotaReached:
            return "refused"
        return "taken"

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(claim, range(8)))
    assert sorted(answers) == ["refused"] * 5 + ["taken"] * 3
    assert verify_log(evening.db) > 3
    other.end()


def test_a_host_that_stands_still_in_a_transaction_does_not_stop_the_others(
    evening: Evening, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    evening.begin()
    monkeypatch.setattr(unit_of_work, "IDLE_SECONDS", 0.2)
    stuck = open_database(url)
    with pytest.raises(DatabaseUnreachable), stuck.writing() as session:
        head(session)
        with evening.db.writing():  # it waits until PostgreSQL has ended the other one
            pass
        head(session)
    stuck.dispose()


def test_a_second_host_joins_with_the_secrets_and_the_bundles_of_the_first(url: str, tmp_path: Path) -> None:
    def arena(*words: str) -> Result:
        return CliRunner().invoke(main, list(words), prog_name="arena")

    pytest.importorskip("obstore", reason="obstore is not installed: pip install 'verse-arena[cluster]'")
    first, second, shared = tmp_path / "first", tmp_path / "second", (tmp_path / "bundles").as_uri()
    made = arena("init", str(first), "--name", "Poets", "--database-url", url, "--bundles-url", shared)
    assert made.exit_code == 0, made.output
    join = ["init", str(second), "--join", str(first / "secrets.json")]
    assert "--database-url" in arena(*join).output
    assert "--bundles-url" in arena(*join, "--database-url", url).output
    elsewhere = (tmp_path / "elsewhere").as_uri()
    assert "are of no event" in arena(*join, "--database-url", url, "--bundles-url", elsewhere).output
    assert arena("init", str(tmp_path / "other")).exit_code == 0
    strange = ["init", str(second), "--join", str(tmp_path / "other" / "secrets.json"), "--database-url", url]
    assert "of another event" in arena(*strange, "--bundles-url", shared).output
    assert not second.exists()
    joined = arena(*join, "--database-url", url, "--bundles-url", shared)
    assert joined.exit_code == 0 and "the event 'Poets'" in joined.output, joined.output
    assert (second / "secrets.json").read_bytes() == (first / "secrets.json").read_bytes()
    assert (second / "secrets.json").stat().st_mode & 0o77 == 0
    assert "Poets: draft" in arena("event", "show", "--dir", str(second)).output


def test_no_event_is_made_over_the_bundles_of_another_one(server: PostgresServer, tmp_path: Path) -> None:
    pytest.importorskip("obstore", reason="obstore is not installed: pip install 'verse-arena[cluster]'")
    shared = ["--bundles-url", (tmp_path / "bundles").as_uri()]
    made = [
        CliRunner().invoke(main, ["init", str(tmp_path / name), "--database-url", server.new_database(), *shared])
        for name in ("first", "second")
    ]
    assert made[0].exit_code == 0, made[0].output
    assert made[1].exit_code == 1 and "bundles of another event" in made[1].output
    assert not (tmp_path / "second").exists()


@pytest.fixture
def hosts(url: str, tmp_path: Path) -> Iterator[list[Evening]]:
    """Two hosts of one event, each with its folder."""
    pytest.importorskip("obstore", reason="obstore is not installed: pip install 'verse-arena[cluster]'")
    shared = {"database_url": url, "bundles_url": (tmp_path / "bundles").as_uri()}
    first = Evening(tmp_path / "first", now=None, **shared).begin()
    create_event_folder(tmp_path / "second", secrets_of=tmp_path / "first" / "secrets.json", **shared)
    second = Evening(tmp_path / "second", now=None)
    yield [first, second]
    for host in (first, second):
        host.end()


def test_an_upload_that_comes_to_another_host_begins_again_there_and_is_whole(hosts: list[Evening]) -> None:
    first, second = hosts
    bundle = verse(1)
    receipt = first.claim("ann", bundle)
    half = receipt.offset + (receipt.size - receipt.offset) // 2
    assert first.piece("ann", receipt.entry, receipt.offset, bundle[receipt.offset : half]).received == half
    with pytest.raises(BytesLost):
        second.piece("ann", receipt.entry, half, bundle[half:])
    again = second.claim("ann", bundle)
    assert (again.entry, again.offset, again.repeated) == (receipt.entry, receipt.offset, True)
    assert second.piece("ann", receipt.entry, again.offset, bundle[again.offset :]).state == "waiting"
    assert first.verify_all() == 1, "checked by the host that it did not arrive at"
    assert Scheduler(first.db, first.spool, clock=first.clock).step() is None and first.spool.parts() == []


def test_hosts_go_by_the_clock_of_the_database_whatever_their_own_says(
    hosts: list[Evening], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "time", lambda: 5.0)
    times = [open_event(host.settings) for host in hosts]
    assert abs(times[0].clock() - times[1].clock()) < 5 and times[0].clock() > 10**9
    assert times[0].clock.ahead == 0 and times[0].db.time() > 10**9
    for event in times:
        event.close()


def test_one_host_at_a_time_closes_what_is_due_and_a_dead_one_holds_up_nobody(evening: Evening, url: str) -> None:
    evening.create().voting(seconds=10)
    scheduler = Scheduler(evening.db, evening.spool, clock=evening.clock)
    evening.now += 60
    other = open_database(url)
    with suppress(DatabaseUnreachable), other.turn() as mine:  # the dead host may notice at its end
        assert mine
        scheduler.step()
        assert the_match(evening).closes_at is not None, "it is the other host's turn"
        with evening.db.writing() as session:  # as if it died
            others = "locktype = 'advisory' AND pid <> pg_backend_pid()"
            session.execute(text(f"SELECT pg_terminate_backend(pid) FROM pg_locks WHERE {others}"))
        assert within(20, lambda: scheduler.step() or the_match(evening).closes_at is None)
        reached_the_end = True
    assert reached_the_end
    other.dispose()


def the_match(evening: Evening) -> Match:
    with evening.db.reading() as session:
        return session.get_one(Match, "r1m1")


def test_a_restart_of_postgresql_costs_only_the_transactions_that_it_interrupts(
    server: PostgresServer, evening: Evening
) -> None:
    evening.begin()
    with ExitStack() as several:  # connections that wait in the pool afterwards
        for _ in range(3):
            head(several.enter_context(evening.db.reading()))
    server.stop("immediate")
    with pytest.raises(DatabaseUnreachable):
        snapshot(evening.db, now=evening.now)
    server.start()
    for _ in range(3):
        assert snapshot(evening.db, now=evening.now).phase == "entering"
    evening.claim("ann", verse(1))


def test_a_match_whose_time_ends_while_the_database_is_away_stands_still(
    server: PostgresServer, evening: Evening
) -> None:
    evening.create().voting(seconds=60)
    scheduler = Scheduler(evening.db, evening.spool, clock=evening.clock)
    closes_at = the_match(evening).closes_at
    assert closes_at is not None
    evening.now = seen_at = closes_at - 20
    scheduler.step()
    server.stop("immediate")
    with pytest.raises(DatabaseUnreachable):
        scheduler.step()
    evening.now += 30
    server.start()
    scheduler.step()
    assert console_view(evening.db, now=evening.now).unserved_since == seen_at
    evening.now += 30
    resume(evening.db, now=evening.now)
    assert the_match(evening).closes_at == evening.now + 20, "as much is left as when the database was there"
    scheduler.step()
    assert the_match(evening).paused_at is None
    server.stop("fast")
    with pytest.raises(DatabaseUnreachable):
        scheduler.step()
    server.start()
    evening.now += 1
    set_match_time(evening.db, "r1m1", poll_round=0, closes_at=evening.now + 5, now=evening.now)
    scheduler.step()
    assert the_match(evening).paused_at is None, "the organizer has changed it since: the clock runs"
