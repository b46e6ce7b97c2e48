"""The ends of an event that nobody hopes for: every command says in a whole sentence what is so and what to do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from arena.cli import main
from arena.services.bracket import open_match
from arena.services.disqualification import disqualify
from arena.services.events import close_submissions
from arena.services.publishing import publish
from arena.services.queries import get_next_match
from tests.support.evening import Evening

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def real(tmp_path: Path) -> Evening:
    """An event that commands can open, too: their clock is this computer's."""
    return Evening(tmp_path / "event", now=None).create()


@pytest.fixture
def run(real: Evening) -> Run:
    def call(*words: str) -> tuple[int, str]:
        result = CliRunner().invoke(main, [*words, "--dir", str(real.folder)])
        assert "Traceback" not in result.output
        return result.exit_code, result.output

    return call


def test_before_the_bracket_a_match_says_that_there_is_none(run: Run) -> None:
    for words in (("match", "open"), ("match", "close"), ("match", "time", "--by-hand")):
        code, out = run(*words)
        assert code == 1 and "the bracket is not drawn yet: `arena event show` says what comes next" in out


@pytest.mark.parametrize(("count", "says"), [(0, "there is none"), (1, "there is one")])
def test_with_nothing_entered_everything_says_how_to_go_on(real: Evening, run: Run, count: int, says: str) -> None:
    real.authors(count)
    real.verify_all()
    close_submissions(real.db, now=real.now)
    for words in (("event", "show"), ("bracket", "show"), ("match", "open")):
        out = run(*words)[1]
        assert says in out and "`arena event open`" in out and "`arena event publish`" in out, words
    code, out = run("bracket", "draw", "--word", "thimble")
    assert code == 1 and "two" in out and out.count("\n") == 1
    assert run("event", "publish", "--yes")[0] == 0
    for words in (("event", "show"), ("bracket", "show")):
        assert "published without a champion: fewer than two verses took part" in run(*words)[1]


def test_with_everybody_disqualified_everything_says_how_to_go_on(real: Evening, run: Run) -> None:
    for author in real.draw(2):
        disqualify(real.db, author.entry, "copied", now=real.now)
    for words in (("event", "show"), ("bracket", "show"), ("match", "open"), ("match", "close")):
        out = run(*words)[1]
        assert "every verse was disqualified, so there is no champion" in out and "`arena entry reinstate`" in out, (
            words
        )
    assert run("event", "publish", "--yes")[0] == 0
    assert "published without a champion: every verse was disqualified" in run("event", "show")[1]


def test_with_one_finalist_gone_the_other_is_champion_and_no_match_is_left(real: Evening, run: Run) -> None:
    authors = real.draw(3)
    while (match := get_next_match(real.db, now=real.now)) is not None and match.kind != "final":
        assert match.upper is not None
        open_match(real.db, match.id, now=real.now)
        real.vote("one", match.id, next(a.text for a in authors if a.entry == match.upper.entry))
        assert run("match", "close")[0] == 0
    assert match is not None and match.upper is not None and match.lower is not None
    disqualify(real.db, match.upper.entry, "copied", now=real.now)
    out = run("event", "show")[1]
    assert next(a.name for a in authors if a.entry == match.lower.entry) in out and "champion" in out
    code, out = run("match", "open")
    assert code == 1 and "every match is decided: end the event with `arena event publish`" in out


def test_a_match_that_nobody_voted_on_is_held_and_the_choices_are_said(real: Evening, run: Run) -> None:
    real.draw(2)
    assert run("match", "open")[0] == 0
    code, out = run("match", "close")
    assert code == 1 and "nobody has voted" in out and "wait for votes, give it more time, or let the lot decide" in out
    code, out = run("match", "open", "r1m1")
    assert code == 0, "opening an open one changes nothing"
    code, out = run("match", "open")
    assert code == 1 and "r1m1 is open: `arena match close` closes it first" in out
    assert run("match", "close", "--by-lot")[0] == 0


def test_a_published_event_says_that_nothing_about_it_changes_any_more(real: Evening, run: Run) -> None:
    real.open()
    close_submissions(real.db, now=real.now)
    publish(real.db, now=real.now)
    for words in (
        ("event", "publish", "--yes"),
        ("event", "open"),
        ("event", "close"),
        ("bracket", "draw", "--word", "x"),
        ("bracket", "undo", "--yes"),
    ):
        code, out = run(*words)
        assert code == 1 and "the event is published, and nothing about it changes any more" in out, words
    code, out = run("match", "open")
    assert code == 1 and "published without a champion" in out
