"""What the organizer changes on the way: names, verses held back, rules, entries for others, verdicts again."""

from __future__ import annotations

import io
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text
from werkzeug.test import TestResponse

from arena.errors import AlreadyDone, BadName, BadSetting, EntryNotFound, QuotaReached, TooFewEntries, WrongState
from arena.rules.names import names_author
from arena.services import bracket, drawing, editing, entries, events, publishing, queries, rechecks, voters
from arena.services.queries import list_entries
from arena.services.schemas import ConsoleEntry, EventRules
from arena.verification.report import Report
from arena.web.rechecks import Rechecks
from tests.arena.test_serving_commands import Desk
from tests.support.bundles import forged_verse, verse
from tests.support.evening import WORD, Evening, secret_of
from tests.support.pages import hidden, token_of
from tests.support.server import within


@pytest.fixture(scope="module")
def checked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Evening]:
    """An event that takes entries and has three verified ones, and one refused."""
    evening = Evening(tmp_path_factory.mktemp("editing") / "event").create()
    evening.authors(3)
    evening.enter("Forger", forged_verse(3))
    evening.verify_all()
    yield evening
    evening.end()


@pytest.fixture
def evening(tmp_path: Path, checked: Evening) -> Iterator[Evening]:
    """A copy of that event."""
    checked.db.dispose()
    shutil.copytree(checked.folder, tmp_path / "event")
    copied = Evening(tmp_path / "event")
    yield copied
    copied.end()


def entry_of(evening: Evening, name: str) -> ConsoleEntry:
    return next(entry for entry in list_entries(evening.db) if entry.name == name)


def bundle_of(evening: Evening, entry: str) -> str:
    [bundle] = [one.bundle for one in rechecks.checked_entries(evening.db, [entry])]
    return bundle


def kinds(evening: Evening) -> list[str]:
    return [record["kind"] for record in queries.console_view(evening.db, now=evening.now).recent]


def send(evening: Evening, action: str, **fields: object) -> TestResponse:
    desk = evening.organizer()
    page = desk.get("/console").text
    return desk.post(f"/console/{action}", data={"token": token_of(page), "seen": hidden(page, "seen"), **fields})


def play(evening: Evening) -> None:
    """Draw two verses, and play the final."""
    evening.close_and_draw()
    while (match := queries.get_next_match(evening.db, now=evening.now)) is not None:
        bracket.open_match(evening.db, match.id, seconds=0, now=evening.now)
        opened = queries.get_open_match(evening.db, now=evening.now)
        assert opened and opened.upper and opened.upper.text is not None
        evening.vote("voter", match.id, opened.upper.text)
        bracket.close_match(evening.db, match.id, poll_round=0, now=evening.now)


def test_a_masked_name_is_on_no_page_and_a_changed_one_on_all_of_them_also_after_the_end(evening: Evening) -> None:
    play(evening)
    phone = evening.phone()
    evening.now += 60
    before = phone.get("/api/v1/state").get_json()["edits"]
    champion = queries.stage_view(evening.db, now=evening.now).champion
    assert champion is not None and champion.name is not None
    pages = ("/stage", "/results", "/", f"/entries/{champion.entry}")
    assert [page for page in pages if champion.name not in phone.get(page).text] == []
    editing.set_masked(evening.db, champion.entry, True, now=evening.now)
    for page in pages:
        text = phone.get(page).text
        assert champion.name not in text and "name withheld" in text, page
    assert phone.get("/api/v1/state").get_json()["edits"] == before + 1, "so that the stage shows it at once"
    publishing.publish(evening.db, now=evening.now)
    editing.set_masked(evening.db, champion.entry, False, now=evening.now)
    editing.set_name(evening.db, champion.entry, "  Somebody else ", now=evening.now)
    assert all("Somebody else" in phone.get(page).text for page in pages)
    assert [kind for kind in kinds(evening) if kind.startswith("entry-")] == [
        "entry-name-set",
        "entry-unmasked",
        "entry-masked",
    ]
    data = [record["data"] for record in queries.console_view(evening.db, now=evening.now).recent]
    assert "Somebody" not in str(data), "the log has no names"


def test_an_author_does_not_change_the_organizers_name_back(evening: Evening) -> None:
    entry = entry_of(evening, "Poet 0").entry
    seen = queries.latest_record(evening.db)
    editing.set_name(evening.db, entry, "Ada", now=evening.now)
    evening.claim("Poet 0", verse(0))
    assert {one.name for one in list_entries(evening.db) if one.entry == entry} == {"Ada"}
    entries.withdraw(evening.db, entry, secret_of("Poet 0"), now=evening.now)
    evening.claim("Poet 0", verse(0))
    assert {one.name for one in list_entries(evening.db) if one.entry == entry} == {"Ada"}
    with pytest.raises(AlreadyDone):
        editing.set_name(evening.db, entry, "Eve", seen=seen, now=evening.now)
    with pytest.raises(BadName):
        editing.set_name(evening.db, entry, " ", now=evening.now)
    with pytest.raises(EntryNotFound):
        editing.set_masked(evening.db, "0" * 32, True, now=evening.now)


def test_a_verse_that_is_held_back_is_not_drawn_until_it_is_released(evening: Evening) -> None:
    held = [entry_of(evening, f"Poet {number}").entry for number in range(2)]
    for entry in held:
        editing.set_held(evening.db, entry, True, now=evening.now)
    view = queries.console_view(evening.db, now=evening.now)
    assert (view.counts["verified"], view.held) == (1, 2)
    status = entries.entry_status(evening.db, held[0], secret_of("Poet 0"), now=evening.now)
    assert "the organizer holds it back" in status.reason
    evening.close()
    with pytest.raises(TooFewEntries):
        drawing.draw_bracket(evening.db, word=WORD, now=evening.now)
    editing.set_held(evening.db, held[0], False, now=evening.now)
    drawing.draw_bracket(evening.db, word=WORD, now=evening.now)
    assert [entry.name for entry in list_entries(evening.db) if entry.seed is None] == ["Poet 1", "Forger"]
    with pytest.raises(WrongState):
        editing.set_held(evening.db, held[1], False, now=evening.now)


def test_a_verse_that_names_its_author_is_flagged(evening: Evening) -> None:
    assert names_author("thus spake\nADA.", "Ada") and names_author("I, Ada Lovelace", "ada lovelace")
    assert names_author("so said Lovelace", "Ada Lovelace") and names_author("Lоvelace", "Ada Lovelace")
    assert not names_author("a parade", "Ada") and not names_author("the van of all", "Van der Berg")
    assert not names_author("", "Ada")
    first = list_entries(evening.db)[0]
    word = max(first.text.split(), key=len)
    editing.set_name(evening.db, first.entry, f"Dr {word[:30]}", now=evening.now)
    assert [one.names_author for one in list_entries(evening.db)] == [len(word) >= 4, False, False, False]
    assert ("the verse contains this name" in evening.organizer().get("/console").text) == (len(word) >= 4)


def test_what_was_given_up_leaves_its_place_to_other_verses(tmp_path: Path) -> None:
    evening = Evening(tmp_path / "event").begin(EventRules(max_open=2, max_claims=3))
    for number in range(6):
        entry = evening.claim("Ada", verse(number)).entry
        entries.withdraw(evening.db, entry, secret_of("Ada"), now=evening.now)
    for number in range(6, 9):
        evening.enter("Ada", verse(number))
        evening.verify_all()  # it replaces the one before
    assert [one.state for one in list_entries(evening.db)].count("replaced") == 2
    evening.enter("Bea", forged_verse(9))
    evening.enter("Bea", forged_verse(10))
    evening.verify_all()
    evening.claim("Bea", verse(11))
    with pytest.raises(QuotaReached, match="3 verses"):
        evening.claim("Bea", verse(12))
    evening.end()


def test_rules_and_the_title_change_after_init_and_the_log_says_so(evening: Evening) -> None:
    view = events.set_rules(evening.db, name="Poets of the lab", lines=3, match_seconds=45.0, now=evening.now)
    assert (view.name, view.rules.lines, view.rules.match_seconds) == ("Poets of the lab", 3, 45.0)
    phone = evening.phone()
    assert "Poets of the lab" in phone.get("/").text and "Poets of the lab" in phone.get("/stage").text
    events.set_rules(evening.db, name="Poets of the lab", lines=3, now=evening.now)
    assert kinds(evening).count("rules-set") == 1
    with pytest.raises(BadSetting):
        events.set_rules(evening.db, lines=0, now=evening.now)
    with pytest.raises(BadName):
        events.set_rules(evening.db, name="", now=evening.now)
    evening.close_and_draw()
    events.set_rules(evening.db, match_seconds=30.0, name="Later", now=evening.now)
    with pytest.raises(WrongState):
        events.set_rules(evening.db, lines=8, now=evening.now)


def test_verdicts_are_given_again_and_only_then_count(evening: Evening) -> None:
    everything = rechecks.checked_entries(evening.db)
    assert sorted(one.state for one in everything) == ["refused", "verified", "verified", "verified"]
    first = next(one for one in everything if one.state == "verified")
    other = Report("FAIL", code="differs", reason="it differs")
    assert (first.state_after(other), first.state_after(Report("ERROR"))) == ("refused", "verified")
    assert not rechecks.record_recheck(evening.db, first, Report("ERROR", code="crash"), now=evening.now)
    assert rechecks.record_recheck(evening.db, first, other, now=evening.now)
    assert entry_of(evening, first.name).state == "refused"
    assert not rechecks.record_recheck(evening.db, first, other, now=evening.now), "it has changed meanwhile"
    again = rechecks.checked_entries(evening.db, [first.entry])[0]
    assert rechecks.record_recheck(evening.db, again, Report("PASS", text=again.text), now=evening.now)
    assert entry_of(evening, first.name).state == "verified"
    with pytest.raises(EntryNotFound):
        rechecks.checked_entries(evening.db, ["0" * 32])
    evening.close_and_draw()
    with pytest.raises(WrongState):
        rechecks.record_recheck(evening.db, everything[-1], other, now=evening.now)


def test_the_console_does_all_of_it_and_an_old_page_does_nothing(evening: Evening) -> None:
    entry = entry_of(evening, "Poet 0").entry
    assert send(evening, f"entries/{entry}/name", name="Ada").status_code == 303
    assert send(evening, f"entries/{entry}/mask").status_code == 303
    assert send(evening, f"entries/{entry}/hold").status_code == 303
    page = evening.organizer().get("/console").text
    assert "masked: pages say" in page and "held back" in page and "Release it for the draw" in page
    found = entry_of(evening, "Ada")
    assert (found.masked, found.held) == (True, True)
    assert send(evening, f"entries/{entry}/mask", off="1").status_code == 303
    assert send(evening, f"entries/{entry}/hold", off="1").status_code == 303
    assert send(evening, f"entries/{entry}/hold", seen="3").status_code == 409
    found = entry_of(evening, "Ada")
    assert (found.masked, found.held) == (False, False)
    assert "Yes, change them although there are entries" in page
    assert send(evening, "rules", name="Another title", lines="4", match_seconds="20").status_code == 303
    rules = events.current_event(evening.db)
    assert (rules.name, rules.rules.lines, rules.rules.match_seconds) == ("Another title", 4, 20)
    assert send(evening, "rules", lines="0").status_code == 422


def test_the_terminal_does_all_of_it(evening: Evening) -> None:
    desk = Desk(evening.folder)
    entry = entry_of(evening, "Poet 0").entry
    assert "has the name 'Ada'" in desk.does("entry", "name", entry[:8], "Ada")
    assert "is masked" in desk.does("entry", "mask", entry[:8])
    assert "held back from the draw" in desk.does("entry", "hold", entry[:8])
    listed = desk.does("entry", "list", "--verses")
    assert "(name masked)  (held back)" in listed and listed.count("    | ") >= 4
    assert "is shown" in desk.does("entry", "mask", entry[:8], "--off")
    assert "is released" in desk.does("entry", "release", entry[:8])
    assert "a vote" not in desk.does("event", "set") and "Evening <of> verses" in desk.does("event", "set")
    asked = desk.run("event", "set", "--name", "New", "--grace", "5", answer="n\n")
    assert "4 verses were entered by the rules so far" in asked.output and asked.exit_code == 1
    assert "within 5 minutes" in desk.does("event", "set", "--name", "New", "--grace", "5", "--yes")
    assert events.current_event(evening.db).name == "New"


def test_the_terminal_enters_a_bundle_for_somebody_also_without_a_ticket(evening: Evening, tmp_path: Path) -> None:
    desk = Desk(evening.folder)
    voters.set_admission(evening.db, "tickets", now=evening.now)
    (tmp_path / "guest.verse").write_bytes(verse(7))
    output = desk.does("entry", "add", str(tmp_path / "guest.verse"), "--name", "A guest")
    assert "is waiting" in output and "http://127.0.0.1:8000/mine/" in output
    assert "with --ticket CODE, the author's card would not vote on this verse" in output
    secret = output.splitlines()[1].rpartition("/")[2]
    assert [one.name for one in entries.entries_of(evening.db, secret, now=evening.now)] == ["A guest"]
    wrong = desk.refuses("entry", "add", str(tmp_path / "guest.verse"), "--name", "A guest", "--ticket", "abc")
    assert "20 letters and digits" in wrong
    assert (tmp_path / "guest.verse").exists()


@pytest.mark.slow
def test_the_terminal_verifies_again_and_shows_what_would_change_first(evening: Evening) -> None:
    desk = Desk(evening.folder)
    with evening.db.writing() as session:
        session.execute(text("UPDATE entries SET state = 'refused' WHERE name = 'Poet 0'"))
    preview = desk.does("entry", "verify-again", "--all", "--preview")
    assert "refused -> verified" in preview and preview.count("no change") == 3 and "1 entry changes of 4" in preview
    assert entry_of(evening, "Poet 0").state == "refused"
    refused = desk.run("entry", "verify-again", "--all", answer="n\n")
    assert refused.exit_code == 1 and entry_of(evening, "Poet 0").state == "refused"
    entry = entry_of(evening, "Poet 0").entry
    assert "1 verdict is recorded" in desk.does("entry", "verify-again", entry[:8], "--yes")
    assert entry_of(evening, "Poet 0").state == "verified"
    assert "name entries, or say --all" in desk.refuses("entry", "verify-again")
    file = evening.bundles.local_copy(bundle_of(evening, entry))
    content = file.read_bytes()
    file.write_bytes(content[:-1] + b"!")
    damaged = desk.does("entry", "verify-again", entry[:8], "--yes")
    assert "could not be checked: its file in bundles is missing or damaged" in damaged
    assert entry_of(evening, "Poet 0").state == "verified"
    file.write_bytes(content)
    evening.close_and_draw()
    assert "is not possible while the event is 'drawn'" in desk.refuses("entry", "verify-again", "--all")


@pytest.mark.slow
def test_the_console_verifies_again_shows_what_would_change_and_lets_it_count(evening: Evening) -> None:
    with evening.db.writing() as session:
        session.execute(text("UPDATE entries SET state = 'refused' WHERE name = 'Poet 0'"))
    entry = entry_of(evening, "Poet 0").entry
    other = entry_of(evening, "Poet 1").entry
    console = evening.organizer()

    def page() -> str:
        return console.get("/console").text

    def press(action: str, **fields: object) -> TestResponse:
        now = page()
        return console.post(f"/console/{action}", data={"token": token_of(now), "seen": hidden(now, "seen"), **fields})

    file = evening.bundles.local_copy(bundle_of(evening, other))
    file.write_bytes(file.read_bytes()[:-1] + b"!")
    assert press("verify-again").status_code == 303
    assert within(60, lambda: "Let the new verdicts count" in page())
    shown = page()
    assert "PASS: refused → verified" in shown and "its file in bundles is missing or damaged" in shown
    assert entry_of(evening, "Poet 0").state == "refused", "nothing has changed yet"
    done = press("verify-again/count", shown=[entry, other])
    assert "1 new verdict counts." in done.text and entry_of(evening, "Poet 0").state == "verified"
    assert entry_of(evening, "Poet 1").state == "verified", "a damaged file is no verdict"
    assert press("verify-again/forget").status_code == 303 and "Verified again" not in page()
    assert press(f"entries/{entry}/verify-again").status_code == 303
    assert within(60, lambda: "PASS: no change" in page())
    assert press("entries/nothing/verify-again").status_code == 404


def test_the_console_enters_a_bundle_for_somebody_and_shows_the_authors_link(evening: Evening) -> None:
    console = evening.organizer()
    page = console.get("/console/entries/add").text
    form = {"token": token_of(page), "name": "A <guest>", "ticket": ""}

    def add(**fields: object) -> TestResponse:
        return console.post("/console/entries/add", data=form | fields, content_type="multipart/form-data")

    assert "No file was chosen" in add().text
    voters.set_admission(evening.db, "tickets", now=evening.now)
    wrong = add(ticket="abc", bundle=(io.BytesIO(verse(7)), "guest.verse"))
    assert wrong.status_code == 422 and "20 letters and digits" in wrong.text
    entered = add(bundle=(io.BytesIO(verse(7)), "guest.verse"))
    assert entered.status_code == 200 and "A &lt;guest&gt;" in entered.text and "<svg" in entered.text
    secret = re.findall(r"/mine/([\w-]+)</code>", entered.text)[0]
    assert [one.name for one in entries.entries_of(evening.db, secret, now=evening.now)] == ["A <guest>"]
    assert not list(evening.settings.incoming.glob("form-*"))
    stranger = evening.visitor()
    assert stranger.get("/console/entries/add").status_code == 303


def test_a_check_that_breaks_is_said_and_the_others_go_on(
    evening: Evening, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def verify_files(paths: list[Path], jobs: int) -> list[Report]:
        tried.append(paths)
        if len(tried) == 1:
            raise RuntimeError("broken")
        return [Report("PASS", text=chosen[1].text)]

    tried: list[list[Path]] = []
    chosen = rechecks.checked_entries(evening.db)[:2]
    monkeypatch.setattr("arena.web.rechecks.verify_files", verify_files)
    again = Rechecks(evening.bundles)
    again.add(chosen)
    assert within(30, lambda: all(one.is_done for one in again.found()))
    assert [one.says for one in again.found()] == [
        "could not be checked (RuntimeError): arena serve says more",
        "PASS: no change",
    ]
    assert "could not be verified again" in caplog.text


def test_a_question_that_nobody_can_answer_says_what_agrees(evening: Evening) -> None:
    refused = Desk(evening.folder).run("event", "set", "--name", "New", answer="")
    assert refused.exit_code == 1 and "Without a terminal, --yes agrees." in refused.output
    assert events.current_event(evening.db).name == "Evening <of> verses"
