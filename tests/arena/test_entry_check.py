"""`arena entry check`: advice about where entries come from, in the terminal and on the console."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from arena.services import advice, queries
from arena.verification import advice as children
from tests.arena.test_serving_commands import Desk
from tests.support.bundles import verse
from tests.support.evening import Evening
from trainer.checks.limits import LIMITS, judge

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """An event with two verses of one model, by two people, whose corpus nobody knows."""
    folder = tmp_path_factory.mktemp("checks") / "event"
    Evening(folder).create().end()
    desk = Desk(folder)
    desk.does("event", "open")
    for number in (1, 2):
        desk.enter(number)
    yield desk
    desk.evening.end()


def test_a_copied_model_is_named_with_number_bound_and_false_alarms_and_nothing_is_refused(
    desk: Desk, tmp_path: Path
) -> None:
    poems = tmp_path / "poems"
    poems.mkdir()
    first, second = queries.list_entries(desk.evening.db)
    (poems / "known.txt").write_text(f"Somebody wrote:\n{first.text}", encoding="utf-8")
    output = desk.does("entry", "check", "--all", "--poems", str(poems))
    assert "1 entry of 2 to look at; no entry was disqualified" in output
    [original, copy] = [line for line in output.splitlines() if line.startswith("  copy ")]
    assert "passes" in original, "who comes first has copied nobody"
    assert f"look at it: 1 (at most {LIMITS['copy'].threshold:g} cosine" in copy and "the same bytes" in copy
    assert f"beyond it were {LIMITS['copy'].rate}" in copy
    assert any("known, line 2" in line for line in output.splitlines() if line.startswith("  quotation "))
    assert "  tokenizer   not checkable: the text" in output
    assert {entry.state for entry in queries.list_entries(desk.evening.db)} == {"verified"}
    brief = desk.does("entry", "check", second.entry[:8], "--brief")
    assert "not checkable" not in brief and "1 entry of 1" in brief
    page = desk.evening.organizer().get("/console").text
    assert "to look at" in page and "cosine" in page and "the same bytes" in page


def test_the_help_explains_every_check(desk: Desk) -> None:
    lines = desk.does("entry", "check", "--help").splitlines()
    explained = [line.split()[0] for line in lines if line.strip() and line.split()[0] in LIMITS]
    assert explained == list(LIMITS)


def test_held_out_text_that_the_organizer_kept_is_measured_without_the_corpus(desk: Desk, tmp_path: Path) -> None:
    kept = tmp_path / "kept.txt"
    kept.write_text("the moon is on the sea\n" * 20, encoding="utf-8")
    first = queries.list_entries(desk.evening.db)[0]
    output = desk.does("entry", "check", first.entry[:8], "--held-out", str(kept))
    [corpus] = [line for line in output.splitlines() if line.startswith("  corpus ")]
    assert "bits a character on held-out text" in corpus and "not checkable" not in corpus


def test_a_command_without_entries_says_what_to_name(desk: Desk) -> None:
    assert "name entries, or say --all" in desk.refuses("entry", "check")
    assert "no entry" in desk.refuses("entry", "check", "ffff")


def test_advice_about_another_bundle_than_the_entry_has_now_is_not_kept(desk: Desk) -> None:
    everybody, _ = advice.verified_bundles(desk.evening.db, desk.evening.bundles)
    stale = children.CheckedBundle(**{**vars(everybody[0]), "bundle": "0" * 64})
    assert not advice.record_advice(desk.evening.db, stale, [judge("copy", 1.0, "")], now=1.0)
    assert not advice.record_advice(desk.evening.db, children.CheckedBundle("0", "0", "", "", ""), [], now=1.0)


def test_a_bundle_that_is_gone_is_not_checkable_and_the_reason_is_said(tmp_path: Path) -> None:
    one = children.CheckedBundle("1" * 32, "2" * 64, "poem", "3" * 64, str(tmp_path / "gone.verse"))
    findings = children.check(one, [], children.Texts(), None)
    assert {f.verdict for f in findings} == {"not checkable"} and "No such file" in findings[0].detail
    path = tmp_path / "cut.verse"
    path.write_bytes(verse(1)[:-1])
    findings = children.check(
        children.CheckedBundle(one.entry, one.owner, "", "", str(path)), [], children.Texts(), None
    )
    assert "cut off" in findings[0].detail


def test_an_entry_that_no_check_could_be_made_of_is_one_to_look_at(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children, "CHILD", "arena.verification.advice:ends_early")
    first = queries.list_entries(desk.evening.db)[0]
    output = desk.does("entry", "check", first.entry[:8], "--brief")
    assert "1 entry of 1 to look at" in output
    assert "no check could be made: " in output and "its process ended early" in output
    assert "Checks: none could be made" in desk.evening.organizer().get("/console").text


def test_what_a_check_notices_is_disqualified_only_if_the_settings_say_so(tmp_path: Path) -> None:
    Evening(tmp_path / "event", refuse_checks="copy").create().end()
    desk = Desk(tmp_path / "event")
    desk.does("event", "open")
    entries = [desk.enter(number) for number in (1, 2)]
    assert "1 entry disqualified" in desk.does("entry", "check", "--all")
    states = {entry.entry: (entry.state, entry.reason) for entry in queries.list_entries(desk.evening.db)}
    assert states[entries[0]][0] == "verified" and states[entries[1]][0] == "disqualified"
    assert states[entries[1]][1].startswith("This event refuses what its checks notice: copy is ")
    assert "may be at most 0.5 cosine" in states[entries[1]][1]
    desk.evening.end()


def test_a_setting_that_names_no_check_is_refused_with_the_checks_there_are(tmp_path: Path) -> None:
    Evening(tmp_path / "event").create().end()
    path = tmp_path / "event" / "settings.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | {"refuse_checks": "copy copies"}))
    refused = Desk(tmp_path / "event").refuses("entry", "check", "--all")
    assert (
        "refuse_checks must name checks" in refused and "there is none 'copies'" in refused and "tokenizer" in refused
    )
