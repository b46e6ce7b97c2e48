"""The console at one glance: what is wrong, what comes next, entries that can be found, the log as sentences."""

from __future__ import annotations

import re
import stat
from pathlib import Path

import pytest
from click.testing import CliRunner

from arena.cli import main
from arena.services import bracket, drawing, queries
from arena.services.schemas import ConsoleView
from arena.settings import load_settings
from arena.web.console_health import STUCK_SECONDS, HealthWatch
from tests.support.evening import Evening
from tests.support.pages import Tags, post

SERVICES = Path(__file__).resolve().parents[2] / "arena" / "services"


@pytest.fixture
def evening(tmp_path: Path) -> Evening:
    return Evening(tmp_path / "event", public_url="http://192.168.7.7:8000").create()


def view_of(evening: Evening) -> ConsoleView:
    return queries.console_view(evening.db, now=evening.now)


def test_each_phase_has_one_large_next_step_but_what_cannot_be_undone(evening: Evening) -> None:
    client = evening.organizer()

    def next_step() -> list[str]:
        return re.findall(r'<button id="next" class="next">([^<]*)<', client.get("/console").text)

    assert next_step() == ["Open submissions"]
    authors = evening.authors(2)
    assert next_step() == ["Close submissions now"]
    evening.verify_all()
    evening.close()
    assert next_step() == ["Draw the bracket"]
    drawing.draw_bracket(evening.db, word="thimble", now=evening.now)
    assert next_step() == ["Open Final"]
    bracket.open_match(evening.db, "r1m1", seconds=60, now=evening.now)
    assert next_step() == ["Close Final"]
    evening.vote("one", "r1m1", authors[0].text)
    bracket.close_match(evening.db, "r1m1", poll_round=0, now=evening.now)
    assert next_step() == [], "publishing asks first"


def test_checks_that_stand_still_are_a_banner_and_checks_that_run_are_none(evening: Evening) -> None:
    evening.authors(2)
    watch = HealthWatch(evening.folder, 0)
    assert watch.look(view_of(evening), None, 100.0).is_good
    assert watch.look(view_of(evening), None, 100.0 + STUCK_SECONDS).no_worker
    evening.lease()
    assert watch.look(view_of(evening), None, 200.0).is_good, "one is checked, one waits"
    evening.verify_all()
    client = evening.organizer()
    assert "What is wrong" not in client.get("/console").text


def test_the_console_says_that_nobody_checks(evening: Evening) -> None:
    evening.authors(1)
    client = evening.organizer()
    client.get("/console")
    evening.now += STUCK_SECONDS
    assert "Nobody checks the bundles that wait" in client.get("/console").text


def test_a_full_disk_is_a_banner(evening: Evening) -> None:
    health = HealthWatch(evening.folder, 2**60).look(view_of(evening), None, 1.0)
    assert health.disk_low is not None and not health.is_good


def test_a_vote_without_a_phone_is_a_banner_and_tells_whether_there_were_some(evening: Evening) -> None:
    evening.voting(2)
    watch = HealthWatch(evening.folder, 0)
    first = watch.look(view_of(evening), 0, 1.0)
    assert first.nobody_listens and first.never_seen
    assert watch.look(view_of(evening), 3, 2.0).is_good
    again = watch.look(view_of(evening), 0, 3.0)
    assert again.nobody_listens and not again.never_seen
    app = evening.make_console(phones=lambda: 0)
    client = app.test_client()
    post(client, "/console/login", "/console/login", password=evening.settings.console_password)
    page = client.get("/console").text
    assert "No phone is connected" in page and "Phones connected" in page


def test_entries_are_found_by_name_verse_state_and_seed(evening: Evening) -> None:
    authors = evening.draw(3)
    client = evening.organizer()
    for sought, names in (
        ("poet 1", ["Poet 1"]),
        ("VERIFIED", ["Poet 0", "Poet 1", "Poet 2"]),
        (authors[2].text.split()[0], ["Poet 2"]),
        ("nobody of this name", []),
    ):
        page = client.get("/console", query_string={"find": sought})
        found = page.text[page.text.index('<details id="all" open>') : page.text.index('id="h-log"')]
        shown = {name for name in ("Poet 0", "Poet 1", "Poet 2") if f"<bdi>{name}</bdi>" in found}
        assert set(names) <= shown and (names or not shown), sought
    hostile = client.get("/console", query_string={"find": '"><script>alert(1)</script>'})
    assert "<script>alert" not in hostile.text


def test_every_kind_of_record_is_a_sentence(evening: Evening) -> None:
    from flask import render_template_string

    source = "".join(path.read_text(encoding="utf-8") for path in SERVICES.glob("*.py"))
    kinds = set(re.findall(r'append\(\s*session,\s*"([a-z-]+)"', source))
    kinds |= {
        kind for pair in re.findall(r'append\(session, "([a-z-]+)" if \w+ else "([a-z-]+)"', source) for kind in pair
    }
    assert len(kinds) > 35
    data = {"match": "r1m1", "entry": "ab" * 16, "by": "cd" * 16, "numbers": [1, 2], "number": 1, "count": 2}
    data |= {"bundles": 2, "address": "http://x", "admission": "open", "verdict": "PASS"}
    template = '{% from "console_log.html" import log_sentence %}{{ log_sentence(record, {"r1m1": "Final"}) }}'
    with evening.console.test_request_context("/console"):
        for kind in kinds:
            shown = render_template_string(template, record={"kind": kind, "data": data}).strip()
            assert shown.endswith(".") and shown[0].isupper(), (kind, shown)


def test_the_log_of_the_console_names_its_subjects(evening: Evening) -> None:
    author = evening.voting(2)[0]
    shown = Tags(evening.organizer().get("/console").text).text
    assert "Final was opened." in shown and f"Entry {author.entry[:8]} was registered." in shown


def test_a_forgotten_password_is_replaced_while_the_server_runs_and_everybody_is_logged_out(evening: Evening) -> None:
    inside = evening.organizer()
    assert "Addresses" in inside.get("/console").text
    old = evening.settings.console_password
    result = CliRunner().invoke(main, ["console-password", "--dir", str(evening.folder)])
    new = load_settings(evening.folder).console_password
    assert result.exit_code == 0 and "secrets.json" in result.output and new not in result.output and new != old
    assert inside.get("/console").status_code == 303, "logged out"
    visitor = evening.visitor()
    assert post(visitor, "/console/login", "/console/login", password=old).status_code == 403
    assert post(visitor, "/console/login", "/console/login", password=new).status_code == 303
    assert stat.S_IMODE((evening.folder / "secrets.json").stat().st_mode) == 0o600
    assert load_settings(evening.folder).receipt_key == evening.settings.receipt_key


def test_two_operators_work_side_by_side(evening: Evening) -> None:
    one, other = evening.organizer(), evening.organizer()
    for client in (one, other):
        assert "Open submissions" in client.get("/console").text
