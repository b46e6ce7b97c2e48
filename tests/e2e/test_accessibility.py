"""axe-core on every page and state, in both themes: no violation; and no text leaves its box at any size."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from random import randrange
from typing import Any

import pytest

from arena.services import bracket, drawing, events, heats, practice, race, rounds, tickets, voters
from arena.services.publishing import publish
from arena.services.queries import get_next_match
from arena.services.race import take_heartbeats
from arena.services.tickets import Card
from arena.web.folder import write_site
from arena.web.ticket_sheet import render_sheet
from tests.support.browser import BASE, LAPTOP, OPEN, PHONE, PROJECTOR, SCREENS, Window, needs_chromium
from tests.support.evening import Evening
from tests.support.pages import post
from tests.support.simulated_trainers import SimulatedTrainer
from trainer.verse.ticket import new_ticket

pytestmark = [pytest.mark.slow, needs_chromium]
OVERFLOW = """() => {
    const out = [];
    if (document.documentElement.scrollWidth > innerWidth + 1) out.push("the page is wider than the screen");
    const scrolls = e => e && (/(auto|scroll)/.test(getComputedStyle(e).overflowX) || scrolls(e.parentElement));
    const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walk.nextNode()) {
        const box = walk.currentNode.parentElement;
        const words = walk.currentNode.data.trim().slice(0, 60);
        if (!words || box.closest(".away, .skip, script, noscript, .unseen") || scrolls(box)) continue;
        const range = document.createRange();
        range.selectNodeContents(walk.currentNode);
        const area = range.getBoundingClientRect(), style = getComputedStyle(box);
        if (!area.width || style.visibility === "hidden" || style.textOverflow === "ellipsis") continue;
        if (area.right > innerWidth + 1 || area.left < -1) out.push("sideways: " + words);
        if (document.body.classList.contains("stage") && area.bottom > innerHeight + 1)
            out.push("below: " + words);
    }
    return out;
}"""


def stories(evening: Evening) -> Iterator[tuple[str, list[str]]]:
    """The states of an evening of four, and the addresses that show something new in each."""
    everywhere = ["/", "/stage", "/results", "/enter", "/mine", "console:/console"]
    yield "before", [*everywhere, "console:/console/login", "/nothing"]
    evening.open()
    yield "entering", everywhere
    authors = [evening.author(f"Poet {number}", number) for number in range(4)]
    yield "being checked", ["/", "/stage", "console:/console"]
    evening.verify_all()
    evening.close()
    yield "checked", ["/", "/stage", "console:/console", "console:/console/entries"]
    drawing.draw_bracket(evening.db, word="thimble", now=evening.now)
    yield "drawn", ["/", "/stage", "/results", "console:/console"]
    text_of = {author.entry: author.text for author in authors}
    match = get_next_match(evening.db, now=evening.now)
    assert match is not None and match.upper is not None
    bracket.open_match(evening.db, match.id, seconds=60, now=evening.now)
    yield "vote", ["/", "/stage", "console:/console"]
    evening.tie(match.id)
    bracket.close_match(evening.db, match.id, poll_round=0, now=evening.now)
    yield "second vote", ["/", "/stage", "console:/console"]
    evening.tie(match.id)
    evening.now += 1
    bracket.close_match(evening.db, match.id, poll_round=1, now=evening.now)
    yield "decided by lot", ["/", "/stage", "/results"]
    while (match := get_next_match(evening.db, now=evening.now)) is not None:
        assert match.upper is not None
        evening.decide(match.id, text_of[match.upper.entry])
    evening.now += 60
    yield "champion", ["/", "/stage", "/results", f"/entries/{authors[0].entry}", "console:/console"]
    publish(evening.db, now=evening.now)
    yield "published", ["/", "/stage", "/enter", f"/entries/{authors[0].entry}", "console:/console"]


def other_stories(evening: Evening) -> Iterator[tuple[str, list[str]]]:
    """What an evening can have besides: cards, PIN, practice vote, race, heats, a whole round at once."""
    evening.open()
    voters.set_admission(evening.db, "tickets", now=evening.now)
    tickets.issue(evening.db, 3, 1, now=evening.now)
    yield "cards", ["/", "/join", "console:/console"]
    voters.set_admission(evening.db, "pin", now=evening.now)
    yield "PIN", ["/join", "/stage"]
    voters.set_admission(evening.db, "open", now=evening.now)
    practice.open_practice(evening.db, seconds=60, now=evening.now)
    yield "practice", ["/", "/stage", "console:/console"]
    practice.close_practice(evening.db, now=evening.now)
    race.set_race(evening.db, True, now=evening.now)
    for number in range(3):
        run = SimulatedTrainer(random.Random(number), 10.0, True, begun_at=evening.now)
        take_heartbeats(evening.db, run.secret, run.body(range(9), evening.now), draw=randrange, now=evening.now)
    yield "race", ["/race", "/stage", "console:/console"]
    authors = [evening.author(f"Poet {number}", number) for number in range(4)]
    evening.verify_all()
    heats.open_heats(evening.db, now=evening.now)
    yield "heats", ["/heats", "/stage", "console:/console", "console:/console/entries/add"]
    heats.close_heats(evening.db, now=evening.now)
    evening.close_and_draw()
    yield "plan", ["console:/console/plan"]
    opened = rounds.open_round(evening.db, seconds=60, now=evening.now)
    yield "a round at once", ["/", "/stage", "console:/console"]
    rounds.pause(evening.db, now=evening.now)
    yield "paused", ["/", "/stage"]
    rounds.resume(evening.db, now=evening.now)
    rounds.extend(evening.db, 10, now=evening.now)
    for match in opened:
        assert match.upper is not None and match.upper.text is not None
        evening.vote("one", match.id, match.upper.text)
    rounds.close_round(evening.db, now=evening.now)
    evening.now += 60
    yield "a round closed", ["/", "/stage", "/votes", f"/entries/{authors[0].entry}/check", "/check", "/audit"]


def violations(page: Any, **options: Any) -> list[str]:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed")
    found = axe.Axe().run(page, options={"resultTypes": ["violations"], **options}).response["violations"]
    return [
        f"{one['id']}: {node['html'][:120]} {node['failureSummary'][:300]}" for one in found for node in one["nodes"]
    ]


def in_both_themes(page: Any) -> list[str]:
    """What axe finds in the light theme, and what the colours of the dark one change."""
    page.emulate_media(color_scheme="light")
    found = violations(page)
    page.emulate_media(color_scheme="dark")
    return found + violations(page, runOnly={"type": "rule", "values": ["color-contrast"]})


@pytest.fixture
def evening(tmp_path: Path) -> Iterator[Evening]:
    evening = Evening(tmp_path / "event", public_url="http://192.168.7.7:8000").create()
    yield evening
    while OPEN:
        OPEN.pop().close()
    evening.end()


def each_window(browser: Any, evening: Evening) -> Callable[[str], tuple[Window, str]]:
    windows = {
        "stage": Window(browser, evening.phone(), PROJECTOR, "light"),
        "phone": Window(browser, evening.phone(), PHONE, "light"),
        "console": Window(browser, evening.organizer(), LAPTOP, "light"),
    }

    def of(address: str) -> tuple[Window, str]:
        where, _, path = address.rpartition(":")
        return windows[where or ("stage" if path == "/stage" else "phone")], path

    return of


@pytest.mark.parametrize("story", [stories, other_stories], ids=["an evening", "what it can have besides"])
def test_axe_finds_no_violation_on_any_page_in_any_state_and_theme(
    browser: Any, evening: Evening, story: Callable[[Evening], Iterator[tuple[str, list[str]]]]
) -> None:
    window_of = each_window(browser, evening)
    found: dict[tuple[str, str], list[str]] = {}
    for state, addresses in story(evening):
        for address in addresses:
            window, path = window_of(address)
            page = window.show(path)
            page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
            if wrong := in_both_themes(page):
                found[state, address] = wrong
    assert found == {}


def test_axe_finds_no_violation_in_the_published_folder_and_on_the_sheet_of_cards(
    browser: Any, evening: Evening, tmp_path: Path
) -> None:
    for _ in stories(evening):
        pass
    folder = tmp_path / "site"
    write_site(evening.event, folder, lambda: evening.now)
    cards = [Card(number, new_ticket(), number > 2) for number in (1, 2, 3)]
    (folder / "tickets.html").write_text(render_sheet(cards[:2], cards[2:], "http://verses.test", "Evening"), "utf-8")
    page = browser.new_context(**PHONE).new_page()
    for name in ("index.html", "author-1.html", "tickets.html"):
        page.goto((folder / name).as_uri())
        assert in_both_themes(page) == [], name
        if name != "tickets.html":  # it is printed
            assert page.evaluate(OVERFLOW) == [], name
    page.context.close()


@pytest.mark.parametrize(("count", "language"), [(2, "de"), (9, "en"), (40, "es")])
def test_no_text_leaves_its_box_at_any_size_in_any_language(
    browser: Any, tmp_path: Path, count: int, language: str
) -> None:
    """Every state that is new with the size, on every screen; in both themes at one size."""
    evening = Evening(tmp_path / "event", public_url="http://192.168.7.7:8000", language=language).create()
    authors = evening.draw(count)
    windows = {
        (name, scheme): Window(browser, evening.phone(), screen, scheme)
        for name, screen in SCREENS.items()
        for scheme in (("light", "dark") if count == 9 else ("light",))  # colours change no size
    }
    console = Window(browser, evening.organizer(), LAPTOP, "light")
    found: dict[tuple[str, ...], list[str]] = {}

    def look(state: str) -> None:
        for (name, scheme), window in windows.items():
            for path in ("/", "/results") if name == "phone" else ("/stage",):
                if wrong := window.show(path).evaluate(OVERFLOW):
                    found[state, name, scheme, path] = wrong
        if wrong := console.show("/console").evaluate(OVERFLOW):
            found[state, "console"] = wrong

    look("drawn")
    text_of = {author.entry: author.text for author in authors}
    match = get_next_match(evening.db, now=evening.now)
    assert match is not None and match.upper is not None
    bracket.open_match(evening.db, match.id, seconds=60, now=evening.now)
    look("vote")
    evening.vote("one", match.id, text_of[match.upper.entry])
    bracket.close_match(evening.db, match.id, poll_round=0, now=evening.now)
    look("reveal")
    while (match := get_next_match(evening.db, now=evening.now)) is not None:
        assert match.upper is not None
        evening.decide(match.id, text_of[match.upper.entry], voters=1)
    evening.now += 60
    look("champion")
    while OPEN:
        OPEN.pop().close()
    evening.end()
    assert found == {}


def test_the_space_bar_takes_the_next_step_and_never_while_somebody_types(browser: Any, evening: Evening) -> None:
    client = evening.organizer()
    context = browser.new_context(**LAPTOP)

    def answer(route: Any) -> None:
        path, fields = route.request.url.removeprefix(BASE), route.request.post_data
        if route.request.method == "POST":
            form = "application/x-www-form-urlencoded"
            response = client.post(path, data=fields, content_type=form, follow_redirects=True)
        else:
            response = client.get(path) if "/api/" not in path else client.get("/nothing")
        route.fulfill(status=response.status_code, headers=dict(response.headers), body=response.data)

    context.route("**/*", answer)
    page = context.new_page()
    page.goto(f"{BASE}/console")
    page.locator("#minutes").press("Space")
    assert events.current_event(evening.db).state == "draft"
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("Space")
    page.get_by_role("button", name="Close submissions now").wait_for()
    assert events.current_event(evening.db).state == "open"
    context.close()


def test_a_reaction_floats_over_the_result_where_the_settings_allow_it(browser: Any, tmp_path: Path) -> None:
    evening = Evening(tmp_path / "reacting", reactions=1).create()
    author, _ = evening.voting(2)
    evening.vote("one", "r1m1", author.text)
    bracket.close_match(evening.db, "r1m1", poll_round=0, now=evening.now)
    phone = evening.phone()
    window = Window(browser, evening.phone(), PROJECTOR, "light", motion="no-preference")
    with window.page.expect_response("**/reactions"):
        window.show("/stage")
    post(phone, "/", "/react", sign="star")
    window.page.locator(".reaction", has_text="\u2605").wait_for(timeout=20_000)
    window.page.locator(".reaction").wait_for(state="detached", timeout=20_000)
    held = Window(browser, phone, PHONE, "light")
    assert held.show("/").get_by_role("button", name="Well written").is_visible()
    assert violations(held.page) == []
    while OPEN:
        OPEN.pop().close()
    evening.end()
