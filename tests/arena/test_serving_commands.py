"""The organizer's commands: a whole event from a terminal, and each refusal in one line."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from arena.cli import main
from arena.errors import BadName
from arena.services import bracket, queries
from tests.support.bundles import verse
from tests.support.evening import Evening


class Desk:
    """An organizer's terminal."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(self, *words: str, answer: str | None = None) -> Result:
        return CliRunner().invoke(main, [*words, "--dir", str(self.folder)], input=answer, prog_name="arena")

    def does(self, *words: str, answer: str | None = None) -> str:
        result = self.run(*words, answer=answer)
        assert result.exit_code == 0, result.output
        return result.output

    def refuses(self, *words: str) -> str:
        result = self.run(*words)
        assert result.exit_code in (1, 2)
        assert not result.exception or isinstance(result.exception, SystemExit)
        return result.output

    @cached_property
    def evening(self) -> Evening:
        """The same event, on the clock of this machine as the commands are."""
        return Evening(self.folder, now=None)

    def enter(self, number: int, name: str = "") -> str:
        """Enter a verse and verify it; its entry's id."""
        entry = self.evening.enter(name or f"poet {number}", verse(number))
        assert self.evening.verify_all() == 1
        return entry

    def vote(self, side: str) -> None:
        """One voter, for the upper or the lower verse."""
        match = queries.console_view(self.evening.db, now=self.evening.now).open
        assert match and match.upper and match.lower
        chosen = match.upper if side == "upper" else match.lower
        self.evening.vote("voter", match.id, chosen.text or "")


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path / "event")
    desk.does("init", "--name", "Poets", "--match-seconds", "300", "--reading-seconds", "0")
    yield desk
    desk.evening.end()


def test_init_says_what_to_do_next_and_shows_no_secret(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "event")
    said = desk.does("init", "--name", "Poets of the lab")
    assert f"arena serve --dir {tmp_path / 'event'}" in said
    secrets = json.loads((tmp_path / "event" / "secrets.json").read_text())
    assert not any(value in said for value in secrets.values())
    assert "holds an event already" in desk.refuses("init")


def test_init_takes_the_folder_as_its_argument_too(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["init", str(tmp_path / "there")])
    assert result.exit_code == 0, result.output
    assert (tmp_path / "there" / "settings.json").is_file()


@pytest.mark.parametrize(
    "words",
    [
        ("--lines", "0"),
        ("--name", ""),
        ("--max-entries", "-1"),
        ("--public-url", "example"),
        ("--match-seconds", "1e9"),
    ],
)
def test_a_wrong_option_of_init_leaves_no_folder(tmp_path: Path, words: tuple[str, str]) -> None:
    Desk(tmp_path / "event").refuses("init", *words)
    assert not (tmp_path / "event").exists()


def test_every_command_names_arena_init_where_there_is_no_event(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "nothing")
    for words in (("event", "show"), ("bracket", "draw"), ("match", "open"), ("serve",), ("worker",)):
        assert "arena init" in desk.refuses(*words)


def test_an_evening_is_played_from_the_terminal(desk: Desk) -> None:
    assert "draft" in desk.does("event", "show")
    assert "closes at" in desk.does("event", "open", "--minutes", "30")
    ids = [desk.enter(number) for number in range(1, 5)]
    listed = desk.does("entry", "list")
    assert all(one[:8] in listed for one in ids)
    desk.does("event", "closing", "--by-hand")
    desk.does("event", "close")
    assert "needs a word" in desk.refuses("bracket", "draw")
    assert "r1m1" in desk.does("bracket", "draw", "--word", "nightingale")
    assert "the event is closed" in desk.does("bracket", "undo", answer="y\n")
    assert "the word of this draw is 'nightingale'" in desk.refuses("bracket", "draw", "--word", "lark")
    desk.does("bracket", "draw")
    assert "open" in desk.does("match", "open")
    desk.vote("upper")
    assert "(1:0)" in desk.does("match", "close")
    desk.does("match", "open", "r1m2", "--seconds", "0")
    assert "nobody has voted on r1m2" in desk.refuses("match", "close")
    assert "until" in desk.does("match", "time", "--seconds", "60")
    assert "until" not in desk.does("match", "time", "--by-hand")
    assert "is closed (0:0, 0:0)" in desk.does("match", "close", "--by-lot")
    desk.does("match", "undo", "r1m2", "--yes")
    desk.does("match", "open", "r1m2", "--seconds", "0")
    desk.evening.tie("r1m2")
    assert "is a tie (1:1): the second vote is open" in desk.does("match", "close")
    assert "by lot" in desk.does("match", "close", "r1m2", "--revote")
    assert "Undo r1m2" in desk.does("match", "undo", "r1m2", answer="y\n")
    desk.does("match", "open", "r1m2")
    desk.vote("lower")
    desk.does("match", "close")
    while "next:" in desk.does("event", "show"):
        desk.does("match", "open")
        desk.vote("lower")
        last = desk.does("match", "close")
    assert "the champion is “" in last
    assert "champion:" in desk.does("bracket", "show")
    assert desk.run("event", "publish", answer="n\n").exit_code == 1
    assert "published" in desk.does("event", "publish", "--yes")


def test_a_disqualified_entry_is_out_and_can_come_back(desk: Desk) -> None:
    desk.does("event", "open")
    first = desk.enter(1)
    assert "no entry starts" in desk.refuses("entry", "disqualify", "zzz", "--reason", "a known poem", "--yes")
    desk.does("entry", "disqualify", first[:8], "--reason", "a known poem", "--yes")
    assert "disqualified" in desk.does("entry", "list")
    desk.does("entry", "reinstate", first[:8])
    assert "verified" in desk.does("entry", "list")


def test_an_ambiguous_id_prefix_is_refused_with_the_number_of_entries(desk: Desk) -> None:
    desk.does("event", "open")
    ids = [desk.enter(1), desk.enter(2)]
    shared = next(ids[0][:size] for size in range(32, -1, -1) if ids[1].startswith(ids[0][:size]))
    assert f"2 entries start with {shared!r}" in desk.refuses("entry", "reinstate", shared)
    assert "no entry starts with '%'" in desk.refuses("entry", "reinstate", "%")
    desk.does("entry", "disqualify", ids[1][: len(shared) + 1].upper(), "--reason", "a known poem", "--yes")
    assert [entry.state for entry in queries.list_entries(desk.evening.db)] == ["verified", "disqualified"]


def test_a_command_that_is_refused_prints_one_line(desk: Desk) -> None:
    for words in (
        ("bracket", "draw"),
        ("match", "close"),
        ("match", "open"),
        ("event", "close"),
        ("event", "publish", "--yes"),
    ):
        said = desk.refuses(*words)
        assert said.startswith("Error: ")
        assert len(said.splitlines()) == 1
    assert "no such match" in desk.refuses("match", "open", "r9m9")
    assert "say either" in desk.refuses("event", "closing")


def test_a_name_cannot_steer_the_terminal(desk: Desk) -> None:
    """What steers a terminal or reorders text is refused at the door; what cannot be seen is removed."""
    desk.does("event", "open")
    for name in ("\x1b]0;owned\x07", "Ann \u202eeoD"):
        with pytest.raises(BadName):
            desk.enter(1, name=name)
    desk.enter(1, name="A\u200bnn")
    assert "Ann" in desk.does("entry", "list")


def test_the_folder_may_come_from_the_environment(desk: Desk) -> None:
    result = CliRunner().invoke(main, ["event", "show"], env={"ARENA_DIR": str(desk.folder)})
    assert result.exit_code == 0
    assert "Poets" in result.output


def test_closing_by_command_after_the_clock_leaves_the_second_vote_open(desk: Desk) -> None:
    desk.does("event", "open")
    for number in (1, 2):
        desk.enter(number)
    desk.does("event", "close")
    desk.does("bracket", "draw", "--word", "lark")
    desk.does("match", "open", "--seconds", "1")
    event = desk.evening
    event.tie("r1m1")
    bracket.close_due(event.db, now=time.time() + 2)  # the clock counts a tie while the organizer types
    assert "the second vote is open" in desk.does("match", "close")
    match = queries.console_view(event.db, now=time.time()).open
    assert match and match.poll_round == 1
    assert "by lot" in desk.does("match", "close", "--revote")
    assert "is closed" in desk.does("match", "close", "r1m1")  # again, by name: as it is


def test_the_second_vote_is_not_closed_by_command_before_there_is_one(desk: Desk) -> None:
    desk.does("event", "open")
    for number in (1, 2):
        desk.enter(number)
    desk.does("event", "close")
    desk.does("bracket", "draw", "--word", "lark")
    desk.does("match", "open")
    assert "r1m1 is in its first vote" in desk.refuses("match", "close", "--revote")


def test_a_command_that_asked_first_does_not_undo_what_changed_meanwhile(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.does("event", "open")
    for number in (1, 2):
        desk.enter(number)
    desk.does("event", "close")
    desk.does("bracket", "draw", "--word", "lark")
    desk.does("match", "open")
    event = desk.evening
    event.tie("r1m1")

    def while_it_asks(*_: object, **__: object) -> bool:
        bracket.close_match(event.db, "r1m1", poll_round=0, now=time.time())
        return True

    monkeypatch.setattr(click, "confirm", while_it_asks)
    assert "already done: the votes of r1m1 were counted" in desk.refuses("match", "undo", "r1m1")
    match = queries.console_view(event.db, now=time.time()).open
    assert match and match.poll_round == 1


def test_one_is_written_in_the_singular(desk: Desk) -> None:
    desk.does("event", "open")
    desk.enter(1)
    desk.evening.enter("poet 2", verse(2))
    desk.does("event", "close")
    assert "1 entry has no verdict yet" in desk.refuses("bracket", "draw")
    assert desk.evening.verify_all() == 1
    desk.does("bracket", "draw", "--word", "lark")
    desk.does("match", "open")
    desk.vote("upper")
    assert "(1 vote until" in desk.does("bracket", "show")


def test_the_plan_says_what_each_way_takes_and_what_fits_into_the_time() -> None:
    def plan(*words: str) -> str:
        said = CliRunner().invoke(main, ["plan", *words])
        assert said.exit_code == 0
        return said.output

    said = plan("--entries", "40", "--voters", "60", "--minutes", "30")
    assert "70 minutes  all 40 play, one match at a time, 40 matches" in said
    assert "into 30 minutes fits: heats, then the best 8 play, one match at a time" in said
    assert "0:00  Heats, 10 pairs a voter" in said and "17:50  end" in said and "--places 8" in said
    assert "60 minutes  all 40 play, one" in plan("--entries", "40", "--reading-seconds", "0")
    assert "nothing of this fits" in plan("--entries", "400", "--minutes", "5")
    assert plan("--entries", "3").count("\n") == 2, "three verses need no heats, and have one match a round"
