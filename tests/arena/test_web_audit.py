"""The audit in JavaScript: tallies, ties and champion are those that Python computes, and what was changed is named."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from arena.audit import contents
from arena.audit.archive import measure, read_archive
from arena.rules.chain import START, Record, record_hash
from arena.rules.rebuild import podium, rebuild
from arena.services.disqualification import disqualify
from arena.services.drawing import draw_bracket
from arena.services.export import export_event
from arena.services.publishing import publish
from tests.support.bundles import verse
from tests.support.evening import WORD, Evening
from tests.support.javascript_engine import in_node, needs_node
from tests.support.played import next_match, play_evening, upper_text
from trainer.verse import strictjson

pytestmark = needs_node
Data = dict[str, bytes]
NAMES = (contents.MANIFEST, contents.LOG, contents.BALLOTS, contents.RESULTS)


def play_bracket(folder: Path, entries: int) -> Evening:
    """An event of so many verses, with ties, a verse that is disqualified after it has won, and nobody's vote."""
    evening = Evening(folder).begin()
    for number in range(1, entries + 1):
        evening.enter(f"poet {number}", verse(number))
    evening.verify_all()
    evening.close()
    if entries > 1:
        draw_bracket(evening.db, word="Käfer", now=evening.now)
    played = 0
    while (match := next_match(evening)) is not None:
        evening.decide(match, upper_text(evening, match), voters=2 + played % 3)
        played += 1
        if played == 2 and entries > 4:
            facts = rebuild(contents.parse_log(parts_of(evening, publishing=False)[contents.LOG]))
            winner = facts.matches[match].winner_id
            assert winner
            disqualify(evening.db, winner, "found elsewhere", now=evening.now)
    publish(evening.db, now=evening.now)
    return evening


def parts_of(evening: Evening, *, publishing: bool = True) -> Data:
    if not publishing:
        from arena.services.log import read_records

        with evening.db.reading() as session:
            return {contents.LOG: contents.dump_log(read_records(session))}
    path = evening.folder / "event.zip"
    if not path.exists():
        export_event(evening.db, evening.bundles, path, key=evening.key)
    archive = read_archive(path)
    return {name: archive.read(name, 2**30) or b"" for name in NAMES}


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Data]:
    """The parts of an evening of heats, an undone match, a tie that the lot decided, and a disqualified verse."""
    evening = play_evening(tmp_path_factory.mktemp("played") / "event")
    yield parts_of(evening)
    evening.end()


def audit(parts: Data) -> Any:
    return in_node({"audit": {name: base64.b64encode(data).decode() for name, data in parts.items()}})


def codes(result: Any) -> set[str]:
    return {fault["code"] for faults in result["checks"].values() for fault in faults}


def compare_with_python(parts: Data) -> Any:
    """The result in JavaScript, which has the golden values that Python computes."""
    result, records = audit(parts), contents.parse_log(parts[contents.LOG])
    assert codes(result) == set(), result["checks"]
    facts = rebuild(records)
    places = podium(facts)
    assert result["podium"] == {"champion": places.champion, "second": places.second, "third": places.third}
    assert (result["event"], result["records"], result["head"]) == (facts.event.name, len(records), records[-1].hash)
    found = {
        match["id"]: (
            match["upper"] or None,
            match["lower"] or None,
            match["winner"] or None,
            match["by"],
            match["tallies"],
        )
        for match in result["matches"]
    }
    assert found == {
        match.id: (match.upper_id, match.lower_id, match.winner_id, match.decided_by, match.tallies or [])
        for match in facts.matches.values()
    }
    ballots = contents.parse_ballots(parts[contents.BALLOTS])
    assert result["ballots"] == sum(map(len, ballots.values()))
    return result


def test_an_evening_with_heats_ties_an_undone_match_and_the_lot_gives_what_python_computes(played: Data) -> None:
    result = compare_with_python(played)
    assert {match["by"] for match in result["matches"]} >= {"draw", "votes"}


@pytest.mark.parametrize("entries", [0, 1, 2, 3, 5, 9])
def test_brackets_of_any_size_give_what_python_computes(tmp_path: Path, entries: int) -> None:
    evening = play_bracket(tmp_path / "event", entries)
    compare_with_python(parts_of(evening))
    evening.end()


def with_parts(parts: Data, **changed: bytes) -> Data:
    """The parts, some changed, with a manifest that lists them."""
    parts = {**parts, **{f"{name}.jsonl" if name == "log" else f"{name}.json": data for name, data in changed.items()}}
    manifest = json.loads(parts[contents.MANIFEST])
    manifest["members"] = [
        [name, *measure(parts[name])] if name in parts and name != contents.MANIFEST else [name, size, digest]
        for name, size, digest in manifest["members"]
    ]
    return {**parts, contents.MANIFEST: strictjson.dump(manifest)}


def rechained(parts: Data, change: Callable[[list[dict[str, Any]]], None]) -> Data:
    """The parts with a log that was changed, every hash computed again by somebody who holds the event."""
    records = [vars(record) | {"data": json.loads(record.data)} for record in contents.parse_log(parts[contents.LOG])]
    change(records)
    chained: list[Record] = []
    for number, record in enumerate(records, start=1):
        before, data = chained[-1].hash if chained else START, strictjson.dump(record["data"]).decode()
        digest = record_hash(before, number, record["at"], record["kind"], data)
        chained.append(Record(number, record["at"], record["kind"], data, digest))
    return with_parts(parts, log=contents.dump_log(chained))


def last(records: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    return next(record["data"] for record in reversed(records) if record["kind"] == kind)


def test_a_changed_byte_and_a_record_that_was_taken_out_are_named(played: Data) -> None:
    for name in NAMES[1:]:
        data = bytearray(played[name])
        data[len(data) // 2] ^= 1
        result = audit({**played, name: bytes(data)})
        assert {"changed", "unreadable"} & codes(result), name
    lines = played[contents.LOG].splitlines(keepends=True)
    result = audit(with_parts(played, log=b"".join(lines[:7] + lines[8:])))
    assert result["checks"]["chain"] == [{"code": "record", "number": 8}]
    assert codes(audit({name: data for name, data in played.items() if name != contents.LOG})) == {"missing"}


def test_changed_added_and_doubled_ballots_are_named(played: Data) -> None:
    rounds = json.loads(played[contents.BALLOTS])
    number, cast = next((number, cast) for number, (*_, cast) in enumerate(rounds) if len(cast) > 2)
    flipped = json.loads(played[contents.BALLOTS])
    of_round = flipped[number]
    of_round[3][0][1] = "lower" if of_round[3][0][1] == "upper" else "upper"
    assert codes(audit(with_parts(played, ballots=strictjson.dump(flipped)))) == {"tally", "digest"}
    of_round[3][:] = [cast[0], *cast[:-1]]
    assert codes(audit(with_parts(played, ballots=strictjson.dump(flipped)))) >= {"twice", "digest"}
    more = [*rounds, ["final", 7, 0, cast]]
    assert codes(audit(with_parts(played, ballots=strictjson.dump(sorted(more))))) == {"uncounted"}
    fewer = [*rounds[:number], *rounds[number + 1 :]]
    assert codes(audit(with_parts(played, ballots=strictjson.dump(fewer)))) == {"tally"}


def test_forgeries_by_somebody_who_computes_the_chain_again_are_named(played: Data) -> None:
    def another_tally(records: list[dict[str, Any]]) -> None:
        data = last(records, "votes-counted")
        data["upper"], data["lower"] = data["lower"], data["upper"]

    def another_outcome(records: list[dict[str, Any]]) -> None:
        last(records, "votes-counted")["outcome"] = "draw"

    def another_winner(records: list[dict[str, Any]]) -> None:
        data = next(r["data"] for r in records if r["kind"] == "match-settled" and r["data"]["by"] == "draw")
        drawn = last(records, "bracket-drawn")["entries"]
        data["winner"] = next(entry for entry in drawn if entry != data["winner"])

    def another_champion(records: list[dict[str, Any]]) -> None:
        data = last(records, "champion")
        data["entry"] = next(one for one in last(records, "bracket-drawn")["entries"] if one != data["entry"])

    def another_salt(records: list[dict[str, Any]]) -> None:
        last(records, "published")["salt"] = "0" * 64

    def another_word(records: list[dict[str, Any]]) -> None:
        last(records, "bracket-drawn")["draw_word"] = WORD + "x"

    def no_publication(records: list[dict[str, Any]]) -> None:
        del records[-1:]

    expected = {
        another_tally: {"tally", "outcome"},
        another_outcome: {"outcome"},
        another_winner: {"settled"},
        another_champion: {"champion"},
        another_salt: {"salt", "digest"},
        another_word: {"draw-order"},
        no_publication: {"unpublished"},
    }
    for change, named in expected.items():
        assert codes(audit(rechained(played, change))) >= named, change.__name__


def test_results_that_say_something_else_are_named(played: Data) -> None:
    for path, code in (
        (("champion",), "podium"),
        (("matches", 0, "winner_id"), "result"),
        (("matches", 0, "tallies"), "result"),
    ):
        results = json.loads(played[contents.RESULTS])
        place = results
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = [[9, 0]] if path[-1] == "tallies" else "0" * 32
        assert codes(audit(with_parts(played, results=strictjson.dump(results)))) == {code}


def test_a_record_of_odd_types_is_named_and_breaks_nothing(played: Data) -> None:
    for kind, value in (("bracket-drawn", 3), ("match-opened", []), ("votes-counted", None), ("published", "x")):

        def change(records: list[dict[str, Any]], kind: str = kind, value: object = value) -> None:
            next(record for record in records if record["kind"] == kind)["data"] = value

        assert codes(audit(rechained(played, change))) & {"odd", "salt"}, kind
    doubled = played[contents.RESULTS].replace(b'{"admission"', b'{"champion":"x","admission"')
    assert codes(audit(with_parts(played, results=doubled))) >= {"unreadable"}
