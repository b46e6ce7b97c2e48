"""The heats on phones, on the stage, on the console and by command."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from arena.cli import main
from arena.services.heats import get_heats, open_heats
from arena.services.queries import console_view
from tests.support.bundles import verses
from tests.support.evening import Evening
from tests.support.pages import hidden, post, token_of


@pytest.fixture
def heats(evening: Evening) -> Evening:
    evening.begin()
    for number, bundle in enumerate(verses(5)):
        evening.enter(f"poet{number}", bundle)
    evening.verify_all()
    return evening


def judge(evening: Evening, phone, side: str):  # type: ignore[no-untyped-def]
    page = phone.get("/heats")
    evening.now += 5
    return phone.post("/heats/judge", data={**{name: hidden(page, name) for name in ("token", "pair")}, "side": side})


def act(client, action: str, **fields: str):  # type: ignore[no-untyped-def]
    page = client.get("/console")
    return client.post(action, data={"token": token_of(page), "seen": hidden(page, "seen"), **fields})


def test_a_phone_judges_pair_after_pair_without_javascript(heats: Evening) -> None:
    phone = heats.phone()
    assert "No heats now" in phone.get("/heats").text and "/heats" not in phone.get("/").text
    open_heats(heats.db, now=heats.now)
    assert 'href="/heats"' in phone.get("/").text
    start = phone.get("/heats")
    assert "Start" in start.text and "poet" not in start.text
    assert post(phone, "/heats", "/heats/begin").status_code == 303
    seen = set()
    for number in range(1, 11):
        page = phone.get("/heats").text
        assert f"pair {number}<" in page and "poet" not in page
        seen.add(frozenset(re.findall(r"is better<span class=\"away\">: ([^<]+)", page)))
        assert judge(heats, phone, "left").status_code == 303
    assert len(seen) == 10, "ten pairs of five verses"
    assert "No pair is left" in phone.get("/heats").text
    assert (view := get_heats(heats.db)).judgements == 10 and view.least == view.most == 4


def test_a_form_of_another_browser_or_of_a_pair_that_never_was_is_refused(heats: Evening) -> None:
    open_heats(heats.db, now=heats.now)
    phone, other = heats.phone(), heats.phone()
    post(phone, "/heats", "/heats/begin")
    post(other, "/heats", "/heats/begin")
    fields = {name: hidden(phone.get("/heats"), name) for name in ("token", "pair")}
    assert other.post("/heats/judge", data={**fields, "side": "left"}).status_code == 403
    token = token_of(other.get("/heats"))
    heats.now += 5
    for pair, status in ((fields["pair"], 409), ("", 409), ("9" * 30, 409), ("-1", 409)):
        answer = other.post("/heats/judge", data={"token": token, "pair": pair, "side": "left"})
        assert answer.status_code == status
    assert phone.post("/heats/judge", data={**fields, "side": "up"}).status_code == 422
    assert get_heats(heats.db).judgements == 0


def test_the_stage_and_the_phones_follow_when_heats_open_and_close(heats: Evening) -> None:
    key = re.compile(r'data-key="([^"]*)"')
    before = key.findall(heats.phone().get("/").text)
    open_heats(heats.db, now=heats.now)
    assert key.findall(heats.phone().get("/").text) != before
    assert "judge pairs of verses on your phone" in heats.phone().get("/stage").text
    heats.close()
    assert "judge pairs of verses on your phone" in heats.phone().get("/stage").text


def test_the_console_runs_the_heats_and_draws_by_them(heats: Evening) -> None:
    organizer = heats.organizer()
    old = organizer.get("/console")
    assert act(organizer, "/console/heats/open").status_code == 303
    assert "Close the heats" in organizer.get("/console").text
    stale = organizer.post("/console/heats/open", data={"token": token_of(old), "seen": hidden(old, "seen")})
    assert stale.status_code == 409 and "the heats were opened" in stale.text
    phone = heats.phone()
    post(phone, "/heats", "/heats/begin")
    for _ in range(10):
        judge(heats, phone, "right")
    heats.close()
    assert "Draw the bracket" not in organizer.get("/console").text, "the heats are closed first"
    act(organizer, "/console/heats/close")
    page = organizer.get("/console").text
    assert "10 judgements by 1 person" in page and 'value="heats-all"' in page
    for chosen in ("heats-x", "heats-²"):
        refused = act(organizer, "/console/draw", word="thimble", seeding=chosen)
        assert refused.status_code == 422 and "by hand" in refused.text
    assert act(organizer, "/console/draw", word="thimble", seeding="heats-3").status_code == 303
    assert sum(entry.seed is not None for entry in console_view(heats.db, now=heats.now).entries) == 3
    page = heats.phone().get("/").text
    assert "3 verses take part" in page and "The other 2 came to their places" in page


def test_the_console_draws_in_the_order_of_the_lines(heats: Evening) -> None:
    organizer = heats.organizer()
    heats.close()
    text = re.search(r"<textarea[^>]*>([^<]*)</textarea>", organizer.get("/console").text)
    assert text
    lines = text[1].strip().splitlines()
    assert len(lines) == 5
    assert act(organizer, "/console/draw", word="w", seeding="hand", seeds="nonsense").status_code == 404
    assert act(organizer, "/console/draw", word="w", seeding="hand", seeds="\n".join(lines[:4])).status_code == 422
    answer = act(organizer, "/console/draw", word="w", seeding="hand", seeds="\r\n".join(reversed(lines)))
    assert answer.status_code == 303
    seeds = {entry.entry[:8]: entry.seed for entry in console_view(heats.db, now=heats.now).entries}
    assert [seeds[line.split()[0]] for line in reversed(lines)] == [1, 2, 3, 4, 5]


def test_where_verses_still_wait_there_are_two_buttons(heats: Evening) -> None:
    heats.enter("late", verses(6)[5])
    heats.close()
    page = heats.organizer().get("/console").text
    assert "Wait for 1 verse<" in page and "Draw without it<" in page


def test_commands_run_the_heats(heats: Evening, tmp_path: Path) -> None:
    def arena(*words: str) -> tuple[int, str]:
        result = CliRunner().invoke(main, [*words, "--dir", str(heats.folder)])
        return result.exit_code, result.output

    assert "there are no heats" in arena("heats", "status")[1]
    assert arena("heats", "close") == (1, "Error: no pairs of verses are judged now: the heats are not open\n")
    assert arena("heats", "open")[0] == 0
    heats.close()
    assert "close them first" in arena("bracket", "draw", "--word", "w", "--seeding", "heats")[1]
    status = arena("heats", "status", "--ranking")[1]
    assert "0 judgements by 0 people, 0 of each of 5 verses" in status and "50 % (12 to 88)" in status
    assert arena("heats", "close")[0] == 0
    seeds = tmp_path / "seeds.txt"
    entries = [entry.entry for entry in console_view(heats.db, now=heats.now).entries]
    seeds.write_text("# seed 1 first\n" + "\n\n".join(f"{entry[:9]} words" for entry in entries))
    assert arena("bracket", "draw", "--word", "w", "--seeding", str(tmp_path / "none"))[0] == 1
    assert arena("bracket", "draw", "--word", "w", "--seeding", str(seeds), "--places", "3")[0] == 1
    code, output = arena("bracket", "draw", "--word", "w", "--seeding", str(seeds))
    assert code == 0, output
    assert arena("bracket", "undo", "--yes")[0] == 0
    assert arena("bracket", "draw", "--seeding", "heats", "--places", "2")[0] == 0
    assert sum(entry.seed is not None for entry in console_view(heats.db, now=heats.now).entries) == 2
