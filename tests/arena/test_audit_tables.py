"""The audit of an event folder: whatever somebody changes in its tables is named."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from sqlalchemy import Boolean, Float, Integer, String, text
from sqlalchemy.orm import Session

from arena.cli import main
from arena.errors import TablesDiffer
from arena.rules.facts import Facts
from arena.rules.rebuild import CHANGES, Impossible, rebuild
from arena.services.audit import NOT_FACTS, find_differences
from arena.services.log import read_records
from arena.services.publishing import publish
from arena.store.schema import Base
from tests.support.bundles import verse
from tests.support.evening import WORD, Evening
from tests.support.played import play_evening, upper_text

FACTS = [
    f"{table.name}.{column.name}"
    for table in Base.metadata.sorted_tables
    for column in table.columns
    if f"{table.name}.{column.name}" not in NOT_FACTS
]


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Evening]:
    evening = play_evening(tmp_path_factory.mktemp("played") / "event")
    yield evening
    evening.end()


@pytest.fixture(scope="module")
def facts(played: Evening) -> Facts:
    with played.db.reading() as session:
        return rebuild(read_records(session))


def differences(evening: Evening, facts: Facts, *statements: str) -> str:
    """What the audit finds after some statements, which are taken back."""
    with evening.db.engine.connect() as connection, connection.begin() as transaction:
        connection.exec_driver_sql("PRAGMA ignore_check_constraints = ON")
        connection.exec_driver_sql("PRAGMA defer_foreign_keys = ON")
        for statement in statements:
            changed = connection.exec_driver_sql(statement)
            assert changed.rowcount, f"nothing was changed: {statement}"
        with Session(connection) as session:
            found = "\n".join(map(str, find_differences(session, facts)))
        transaction.rollback()
        return found


def test_the_tables_of_a_whole_evening_follow_from_its_log(played: Evening, facts: Facts) -> None:
    assert played.differences() == []
    with played.db.reading() as session:
        kinds = {record.kind for record in read_records(session)}
    assert {"entry-renamed", "entry-replaced", "entry-disqualified", "match-undone", "champion", "published"} <= kinds
    assert facts.salt is not None and facts.nonce is not None


def test_every_kind_of_record_that_a_service_writes_is_known_to_the_audit() -> None:
    written = set()
    for path in Path("arena/services").glob("*.py"):
        source = path.read_text("utf-8")
        for kind in CHANGES:
            if f'"{kind}"' in source:
                written.add(kind)
    assert written == set(CHANGES), "and no kind is known that nobody writes"


@pytest.mark.parametrize("column", FACTS)
def test_no_value_of_a_fact_is_changed_unnoticed(played: Evening, facts: Facts, column: str) -> None:
    table, name = column.split(".")
    kind = Base.metadata.tables[table].columns[name].type
    if isinstance(kind, Float | Integer):
        value = f"coalesce({name}, 0) + 60"
    elif isinstance(kind, Boolean):
        value = f"1 - {name}"
    elif isinstance(kind, String):
        value = f"coalesce({name}, '') || 'x'"
    else:  # JSON
        value = "'[[9, 9]]'"
    row = f"(SELECT max(rowid) FROM {table})"
    assert differences(played, facts, f"UPDATE {table} SET {name} = {value} WHERE rowid = {row}")


def test_five_to_nil_made_one_to_four_with_another_winner_and_name_is_named(played: Evening, facts: Facts) -> None:
    found = differences(
        played,
        facts,
        "UPDATE matches SET tallies = '[[1, 4]]', winner_id = lower_id, decided_winner_id = lower_id "
        "WHERE kind = 'final'",
        "UPDATE entries SET name = 'Mallory' WHERE id = (SELECT lower_id FROM matches WHERE kind = 'final')",
    )
    final = next(match for match in facts.matches.values() if match.kind == "final")
    for name in ("tallies: the log gives [[5, 0]], but found is [[1, 4]]", "winner_id", "decided_winner_id"):
        assert f"match {final.id}, {name}" in found
    assert f"entry {final.lower_id}, name" in found


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        ("UPDATE votes SET choice = CASE choice WHEN 'upper' THEN 'lower' ELSE 'upper' END", "the log gives 5:0"),
        ("DELETE FROM votes WHERE id = (SELECT max(id) FROM votes)", "but found is 4:0"),
        (
            "INSERT INTO votes (match_id, poll, poll_round, voter_id, choice, shown_left, cast_at, changes) "
            "SELECT match_id, poll, poll_round, 'ghost', choice, shown_left, cast_at, 0 FROM votes "
            "ORDER BY id DESC LIMIT 1",
            "but found is 6:0",
        ),
        ("UPDATE votes SET voter_id = 'ghost' WHERE id = (SELECT max(id) FROM votes)", "digest of all votes"),
        ("UPDATE votes SET cast_at = cast_at - 600 WHERE id = (SELECT max(id) FROM votes)", "digest of all votes"),
        ("UPDATE votes SET poll = 7 WHERE id = (SELECT max(id) FROM votes)", "no such vote"),
        (
            "UPDATE entries SET state = 'verified' WHERE state = 'refused'",
            "state: the log gives refused",
        ),
        (
            "UPDATE entries SET state = 'verified' WHERE state = 'disqualified'",
            "disqualified",
        ),
        ("UPDATE entries SET reason = 'was drunk' WHERE state = 'disqualified'", "reason"),
        ("UPDATE entries SET text = 'Shall I compare thee' WHERE seed = 1", "verse: the log gives"),
        ("UPDATE entries SET seed = CASE seed WHEN 1 THEN 2 WHEN 2 THEN 1 ELSE seed END", "seed: the log gives 1"),
        ("UPDATE events SET draw_word = 'raven'", f"draw_word: the log gives {WORD}, but found is raven"),
        ("UPDATE events SET revote_seconds = 1, lines = 64", "rules, lines: the log gives 7, but found is 64"),
        ("UPDATE entries SET owner_id = (SELECT owner_id FROM entries WHERE seed = 1) WHERE seed = 2", "owner"),
        ("DELETE FROM verifications", "row: the log gives one, but found is none"),
    ],
)
def test_forgeries_are_named(played: Evening, facts: Facts, statement: str, named: str) -> None:
    assert named in differences(played, facts, statement)


def test_an_event_with_a_forged_name_is_not_published(evening: Evening) -> None:
    evening.begin()
    first, _ = evening.drawn([verse(0), verse(1)])
    evening.decide("r1m1", upper_text(evening, "r1m1"))
    evening.forged = True
    with evening.db.writing() as session:
        session.execute(text("UPDATE entries SET name = 'Mallory' WHERE id = :entry"), {"entry": first})
    with pytest.raises(TablesDiffer, match=f"entry {first}, name: the log gives .* `arena audit` lists everything"):
        publish(evening.db, now=evening.now)


def test_the_command_prints_what_differs_and_ends_with_status_1(evening: Evening) -> None:
    evening.begin()
    evening.author("Ada", 0)
    runner = CliRunner()
    agreeing = runner.invoke(main, ["audit", "--dir", str(evening.folder)])
    assert (agreeing.exit_code, "Everything that was checked agrees." in agreeing.output) == (0, True)
    evening.forged = True
    with evening.db.writing() as session:
        session.execute(text("UPDATE entries SET name = 'Mal\x1blory', state = 'withdrawn'"))
    differing = runner.invoke(main, ["audit", "--dir", str(evening.folder), "--json"])
    page = json.loads(differing.output)
    assert (differing.exit_code, page["agrees"]) == (1, False)
    found = [sentence for check in page["checks"] for sentence in check["differences"]]
    assert any("state: the log gives waiting, but found is withdrawn" in sentence for sentence in found)
    assert any(", name: " in sentence for sentence in found)
    assert runner.invoke(main, ["audit", "--dir", str(evening.folder / "nowhere")]).exit_code == 2


def test_a_record_that_cannot_follow_is_named(played: Evening) -> None:
    with played.db.reading() as session:
        records = list(read_records(session))
    by_kind = {record.kind: index for index, record in reversed(list(enumerate(records)))}
    for missing in ("submissions-opened", "claim-taken", "bracket-drawn", "votes-counted", "match-opened", "verdict"):
        shortened = [record for index, record in enumerate(records) if index != by_kind[missing]]
        with pytest.raises(Impossible, match=r"record \d+ \("):
            rebuild(shortened)
