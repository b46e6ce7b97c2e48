"""Disqualifying and reinstating many entries: by owner, time and name, from the terminal and the console."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from arena.cli import main
from arena.errors import BadSetting, NotDisqualified, QuotaReached
from arena.services.disqualification import disqualify, disqualify_all, reinstate, reinstate_all
from arena.services.entries import withdraw
from arena.services.entry_filter import EntryFilter, parse_moment
from arena.services.events import set_rules
from arena.services.identity import identity_of
from arena.services.log import verify_log
from arena.services.queries import console_view, list_entries
from arena.services.uploads import drop_parts
from tests.support.bundles import undecided_verse, verse
from tests.support.evening import START, Evening, secret_of
from tests.support.pages import post, token_of


@pytest.fixture
def evening(tmp_path: Path) -> Iterator[Evening]:
    """An event with two honest entries, and ten of bots in the minute after them."""
    evening = Evening(tmp_path / "event").begin()
    for number, name in enumerate(("Ada", "Bothwell")):
        evening.enter(name, verse(number))
    evening.verify_all()
    evening.now += 60
    for number in range(10):
        evening.claim(f"bot {number}", verse(10 + number))
        evening.now += 1
    yield evening
    evening.end()


def states(evening: Evening) -> dict[str, str]:
    return {entry.name: entry.state for entry in list_entries(evening.db)}


def ids(evening: Evening, *names: str) -> list[str]:
    return [entry.entry for entry in list_entries(evening.db) if entry.name in names]


def command(evening: Evening, *words: str, answer: str = "") -> Result:
    return CliRunner().invoke(main, [*words, "--dir", str(evening.folder)], input=answer)


def clock(moment: float) -> str:
    return datetime.fromtimestamp(moment).isoformat()


def test_entries_are_chosen_by_owner_time_and_name(evening: Evening) -> None:
    entries = list_entries(evening.db)

    def names(chosen: EntryFilter) -> list[str]:
        return [entry.name for entry in chosen.choose(entries)]

    assert names(EntryFilter(name="BOT*")) == ["Bothwell", *(f"bot {number}" for number in range(10))]
    assert names(EntryFilter(name="bot ?", since=START + 62, until=START + 63)) == ["bot 2", "bot 3"]
    owner = identity_of(secret_of("Ada")).owner_id
    assert names(EntryFilter(owner=owner[:10].upper())) == ["Ada"]
    assert sorted(names(EntryFilter(until=START))) == ["Ada", "Bothwell"]
    assert EntryFilter().is_empty and not EntryFilter(name="*").is_empty


def test_a_time_of_day_is_the_latest_one_before_now() -> None:
    now = datetime(2026, 11, 28, 0, 30).timestamp()
    assert parse_moment("00:15", now) == datetime(2026, 11, 28, 0, 15).timestamp()
    assert parse_moment(" 23:50:10 ", now) == datetime(2026, 11, 27, 23, 50, 10).timestamp()
    assert parse_moment("2026-11-28T21:05", now) == datetime(2026, 11, 28, 21, 5).timestamp()
    for wrong in ("", "25:00", "yesterday", "9" * 40):
        with pytest.raises(BadSetting, match="write 21:05"):
            parse_moment(wrong, now)


def test_the_terminal_shows_what_would_change_and_asks(evening: Evening) -> None:
    wanted = ("entry", "disqualify", "--name", "bot*", "--since", clock(START + 60), "--reason", "These came at once.")
    asked = command(evening, *wanted, answer="n\n")
    assert asked.exit_code == 1
    assert "10 entries of 10 owners" in asked.output and "Disqualify 10 entries?" in asked.output
    assert "Ada" not in asked.output and set(states(evening).values()) == {"verified", "receiving"}
    done = command(evening, *wanted, "--yes")
    assert done.exit_code == 0 and "10 entries are disqualified" in done.output
    assert sorted(states(evening).values()) == ["disqualified"] * 10 + ["verified"] * 2
    assert drop_parts(evening.db, evening.spool) == 10
    again = command(evening, "entry", "reinstate", "--since", clock(START + 62), "--until", clock(START + 63), "--yes")
    assert "2 entries are in the event again" in again.output
    assert [name for name, state in states(evening).items() if state == "receiving"] == ["bot 2", "bot 3"]
    assert evening.enter("bot 2", verse(12)) in ids(evening, "bot 2"), "its owner sends it again"
    for words in (("--name", "nobody*"), ("3f", "--name", "bot*"), ()):
        refused = command(evening, "entry", "disqualify", *words, "--reason", "x", "--yes")
        assert refused.exit_code != 0 and len(refused.output.strip().splitlines()) <= 4
    assert verify_log(evening.db) > 20


def test_the_console_shows_what_would_change_and_then_changes_that(evening: Evening) -> None:
    client = evening.organizer()
    assert client.get("/console/entries").status_code == 200
    page = client.get("/console/entries", query_string={"name": "bot *", "since": clock(START + 62)})
    assert "8 entries of 8 owners" in page.text and "Yes, disqualify 8 entries" in page.text
    evening.claim("bot late", verse(30))  # after the page was made: not meant
    fields = {"name": "bot *", "since": str(START + 62), "until": str(evening.now - 0.5), "reason": "a program"}
    answer = client.post("/console/entries/disqualify", data={"token": token_of(page), **fields})
    assert (answer.status_code, list(states(evening).values()).count("disqualified")) == (303, 8)
    assert states(evening)["bot late"] == "receiving"
    page = client.get("/console/entries", query_string={"name": "bot *", "reinstate": "1"})
    assert "Yes, reinstate 8 entries" in page.text
    fields["until"] = str(evening.now)
    answer = client.post("/console/entries/reinstate", data={"token": token_of(page), **fields})
    assert answer.status_code == 303 and "disqualified" not in states(evening).values()
    for wrong in ({"since": "soon"}, {"until": "25:00"}):
        assert client.get("/console/entries", query_string=wrong).status_code == 422
    assert evening.visitor().get("/console/entries?name=*").status_code == 303  # to the login


def test_the_organizer_changes_the_limits_on_the_console(evening: Evening) -> None:
    client = evening.organizer()
    fields = {"max_entries": "300", "check_seconds": "20", "check_memory": "512", "seen": "999"}
    assert post(client, "/console", "/console/rules", **fields).status_code == 303
    rules = console_view(evening.db, now=evening.now).event.rules
    assert (rules.max_entries, rules.check_seconds, rules.check_memory) == (300, 20.0, 512 * 2**20)
    assert post(client, "/console", "/console/rules", **fields | {"max_entries": "1025"}).status_code == 422
    assert "at most 300 owners" in command(evening, "event", "set").output
    assert "at most 7 owners" in command(evening, "event", "set", "--entries", "7", answer="y\n").output


def test_entries_that_left_meanwhile_stay_as_they_are(evening: Evening) -> None:
    bots = ids(evening, "bot 1", "bot 2", "bot 3")
    withdraw(evening.db, bots[0], secret_of("bot 1"), now=evening.now)
    assert disqualify_all(evening.db, [*bots, "0" * 32], "a program", now=evening.now) == bots[1:]
    assert states(evening)["bot 1"] == "withdrawn"
    assert reinstate_all(evening.db, bots, now=evening.now) == bots[1:]


def test_what_is_reinstated_goes_on_where_it_was(evening: Evening) -> None:
    waiting = evening.enter("Carl", verse(40))
    [verified] = ids(evening, "Ada")
    disqualify_all(evening.db, [waiting, verified], "by mistake", now=evening.now)
    assert evening.verify_all() == 0
    assert reinstate(evening.db, verified, now=evening.now) == "verified"
    assert reinstate(evening.db, waiting, now=evening.now) == "waiting"
    assert evening.verify_all() == 1
    with pytest.raises(NotDisqualified):
        reinstate(evening.db, waiting, now=evening.now)


def test_two_verses_of_one_owner_never_both_play(evening: Evening) -> None:
    [first] = ids(evening, "Ada")
    disqualify(evening.db, first, "by mistake", now=evening.now)
    second = evening.enter("Ada", verse(41))
    evening.verify_all()
    assert reinstate(evening.db, first, now=evening.now) == "replaced"
    assert [entry.state for entry in list_entries(evening.db) if entry.entry == second] == ["verified"]


def test_nobody_is_reinstated_where_all_places_are_taken(evening: Evening) -> None:
    [ada] = ids(evening, "Ada")
    disqualify(evening.db, ada, "by mistake", now=evening.now)
    set_rules(evening.db, max_entries=11, now=evening.now)
    with pytest.raises(QuotaReached):
        reinstate(evening.db, ada, now=evening.now)
    assert reinstate_all(evening.db, [ada], now=evening.now) == []
    disqualify_all(evening.db, ids(evening, "bot 1"), "a program", now=evening.now)
    assert reinstate_all(evening.db, [ada], now=evening.now) == [ada]


def test_many_are_disqualified_after_the_draw_and_the_others_win(evening: Evening) -> None:
    disqualify_all(evening.db, ids(evening, *(f"bot {number}" for number in range(10))), "a program", now=evening.now)
    evening.enter("Carl", verse(40))
    evening.enter("Dora", undecided_verse())
    evening.verify_all()
    evening.close_and_draw()
    [champion] = ids(evening, "Carl")
    disqualify_all(evening.db, ids(evening, "Ada", "Bothwell"), "copied", now=evening.now)
    view = console_view(evening.db, now=evening.now)
    assert view.champion and view.champion.entry == champion
    assert reinstate_all(evening.db, ids(evening, "Ada", "bot 1"), now=evening.now) == ids(evening, "Ada")
    assert console_view(evening.db, now=evening.now).champion is None


def test_the_terminal_removes_bundles_that_nobody_needs(evening: Evening) -> None:
    assert "every bundle is needed" in command(evening, "event", "tidy").output
    evening.enter("Ada", verse(42))
    evening.verify_all()
    asked = command(evening, "event", "tidy", answer="n\n")
    assert "Remove 1 bundle," in asked.output and len(evening.bundles.stored()) == 3
    assert "1 bundle removed" in command(evening, "event", "tidy", "--yes").output
    assert len(evening.bundles.stored()) == 2
