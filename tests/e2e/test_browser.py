"""The pages in a real browser, against a real server: a vote without JavaScript, the stage, an entry by hand."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from arena.bootstrap import restore_event
from arena.services import bracket, queries
from arena.services.backups import back_up
from arena.services.schemas import MatchView
from arena.services.uploads import PIECE_BYTES
from tests.support.browser import PHONE, PROJECTOR, needs_chromium
from tests.support.bundles import large_verse, verses
from tests.support.evening import Evening
from tests.support.server import ArenaServer, ask, within
from trainer.verse.claim import header_length

pytestmark = [pytest.mark.slow, needs_chromium]
STAND_STILL = (
    "for (let id = setTimeout(() => 0); id; id -= 1) clearTimeout(id); clearTimeout = setTimeout = () => 0; stop()"
)
SOON = 20_000  # ms; the pages ask every 4 seconds, and spread what they fetch over 1.5


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Evening]:
    """A served event with a bracket of four verses; each test opens a match of its own."""
    served = Evening(tmp_path_factory.mktemp("drawn") / "event", now=None).begin()
    served.drawn(verses(4))
    served.serve()
    yield served
    served.end()


def open_next(served: Evening) -> MatchView:
    ready = queries.console_view(served.db, now=time.time()).next
    assert ready is not None
    return bracket.open_match(served.db, ready.id, seconds=0, now=time.time())


def state_shows(served: Evening, match: str) -> bool:
    """Whether the server's pages know that a match is open; they do within a tenth of a second."""
    return f'"{match}"'.encode() in ask(served.port, "GET /api/v1/state")[2]


def test_a_match_is_voted_on_a_phone_without_javascript(browser: Any, drawn: Evening) -> None:
    match = open_next(drawn)
    assert within(10, lambda: state_shows(drawn, match.id))
    context = browser.new_context(java_script_enabled=False, **PHONE)
    page = context.new_page()
    page.goto(f"{drawn.url}/")
    assert page.locator("h1").inner_text() == "Which verse is better?"
    assert page.locator(".verse").count() == 2
    width = page.locator("main").bounding_box()["width"]
    assert width <= PHONE["viewport"]["width"]  # nothing to scroll sideways
    button = page.locator("#vote-left").bounding_box()
    assert button["height"] >= 44 and button["width"] >= 44  # a thumb's size
    page.locator("#vote-left").tap()
    page.get_by_role("heading", name="Your vote is saved").wait_for(timeout=SOON)
    page.locator("article.mine:first-of-type").wait_for(timeout=SOON)
    page.locator("#vote-right").tap()  # another opinion, as long as it is open
    page.locator("article.mine:last-of-type").wait_for(timeout=SOON)
    chosen = page.locator("article.mine .verse").inner_text()
    result = bracket.close_match(drawn.db, match.id, poll_round=0, now=time.time())
    assert sorted(result.tallies[0]) == [0, 1]
    console = queries.console_view(drawn.db, now=time.time())
    winner = next(one for one in console.entries if one.entry == result.winner)
    assert "".join((winner.prompt + winner.text).split()) == "".join(chosen.split())
    assert within(10, lambda: b'"match":null' in ask(drawn.port, "GET /api/v1/state")[2])
    page.reload()
    page.get_by_role("heading", name="Your vote is saved").wait_for(state="detached", timeout=SOON)
    context.close()


def test_the_stage_follows_a_match_by_itself(browser: Any, drawn: Evening) -> None:
    context = browser.new_context(**PROJECTOR)
    page = context.new_page()
    problems: list[str] = []
    page.on("console", lambda message: problems.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto(f"{drawn.url}/stage")
    match = open_next(drawn)
    page.get_by_role("heading", name=match.title).wait_for(timeout=SOON)
    page.get_by_text("Which verse is better?").wait_for(timeout=SOON)
    assert page.locator(".verse").count() == 2

    phone = browser.new_context(**PHONE)
    hand = phone.new_page()
    hand.goto(f"{drawn.url}/")
    hand.locator("#vote-right").tap()
    hand.get_by_role("heading", name="Your vote is saved").wait_for(timeout=SOON)
    page.locator(".votes b", has_text="1").wait_for(timeout=SOON)
    assert page.locator(".tally").count() == 0  # nobody sees who leads

    bracket.close_match(drawn.db, match.id, poll_round=0, now=time.time())
    page.locator(".verdict", has_text="won").wait_for(timeout=SOON)
    assert page.locator(".tally").count() == 2
    hand.get_by_role("heading", name="Your vote is saved").wait_for(state="detached", timeout=SOON)  # the phone, too
    assert problems == []
    context.close()
    phone.close()


@pytest.mark.parametrize("javascript", [True, False], ids=["in-pieces", "plain-form"])
def test_a_verse_enters_by_the_upload_page(browser: Any, served: Evening, tmp_path: Path, javascript: bool) -> None:
    path = tmp_path / "mine.verse"
    path.write_bytes(large_verse(20 + javascript))
    context = browser.new_context(java_script_enabled=javascript)
    page = context.new_page()
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.method))
    page.goto(f"{served.url}/enter")
    page.get_by_label("Your name, as everybody will see it").fill("Ada <b>& Co</b>")
    page.get_by_label("Bundle file").set_input_files(path)
    page.get_by_role("button", name="Send it").click()
    page.wait_for_url("**/mine", timeout=SOON)
    tensors = len(large_verse(20 + javascript)) - header_length(large_verse(20 + javascript)[:8])
    assert sent.count("PATCH") == (-(-tensors // PIECE_BYTES) if javascript else 0), sent
    if not javascript:
        verified = within(60, lambda: not queries.console_view(served.db, now=time.time()).pending)
        assert verified
        page.reload()
    page.get_by_text("Verified: it takes part").wait_for(timeout=3 * SOON)
    assert page.locator(".by").inner_text() == "as Ada <b>& Co</b>"
    context.close()


def test_a_file_that_is_no_bundle_is_refused_on_the_page(browser: Any, served: Evening, tmp_path: Path) -> None:
    path = tmp_path / "poem.verse"
    path.write_text("To be, or not to be: that is the question.\n")
    context = browser.new_context(**PHONE)
    page = context.new_page()
    page.goto(f"{served.url}/enter")
    page.get_by_label("Your name, as everybody will see it").fill("Ada")
    page.get_by_label("Bundle file").set_input_files(path)
    page.get_by_role("button", name="Send it").tap()
    page.get_by_text("This file is not a bundle").wait_for(timeout=SOON)
    assert page.get_by_role("button", name="Send it").is_enabled()
    context.close()


def test_an_old_tab_of_the_console_says_so_and_follows_again(browser: Any, drawn: Evening) -> None:
    match = open_next(drawn)
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{drawn.console_url}/console/login")
    page.get_by_label("Password").fill(drawn.settings.console_password)
    page.get_by_role("button", name="Log in").click()
    page.get_by_role("button", name=f"Close {match.title}").wait_for(timeout=SOON)  # the click returns before it
    page.evaluate(STAND_STILL)  # this tab stays as old as it is
    drawn.tie(match.id)
    bracket.close_match(drawn.db, match.id, poll_round=0, now=time.time())
    page.get_by_role("button", name=f"Close {match.title}").click()
    page.locator("#problem", has_text="Already done").wait_for(timeout=SOON)
    assert page.url == f"{drawn.console_url}/console"
    record = page.locator("main").get_attribute("data-key")
    bracket.undo_match(drawn.db, match.id, now=time.time())
    page.locator(f'main:not([data-key="{record}"])').wait_for(timeout=SOON)
    assert page.locator("#problem").count() == 1  # the note stays until it was read
    page.get_by_role("link", name="Show the current state").click()
    page.locator("#problem").wait_for(state="detached", timeout=SOON)
    context.close()


def test_a_phone_sends_its_vote_again_to_an_event_restored_from_an_older_backup(browser: Any, tmp_path: Path) -> None:
    served = Evening(tmp_path / "event", now=None).begin()
    served.drawn(verses(2))
    served.serve()
    open_next(served)
    back_up(served.db, served.settings, tmp_path / "stick", now=time.time())
    context = browser.new_context(**PHONE)
    page = context.new_page()
    page.goto(f"{served.url}/")
    page.locator("#vote-left").tap()
    page.get_by_role("heading", name="Your vote is saved").wait_for(timeout=SOON)
    chosen = page.locator("article.mine .verse").inner_text()
    served.end()

    restore_event(tmp_path / "stick", tmp_path / "restored", now=time.time())
    other = Evening(tmp_path / "restored", now=None)
    assert queries.snapshot(other.db, now=time.time()).match is not None
    other.server = ArenaServer(other.folder, served.port)
    try:
        assert within(SOON / 1000, lambda: b'"votes":1' in ask(other.port, "GET /api/v1/state")[2])
        page.get_by_role("heading", name="Your vote is saved").wait_for(timeout=SOON)
        assert page.locator("article.mine .verse").inner_text() == chosen
    finally:
        context.close()
        other.end()


VERSES = {
    "six lines of forty letters": ["The morning has a hat of straw and rings"] * 6,
    "eight lines of sixty letters": ["I learned to stand there and asked me if the thing I can lie,"] * 8,
    "capitals": ["W" * 40] * 8,
    "Chinese": ["\u6625\u7720\u4e0d\u89c9\u6653\uff0c\u5904\u5904\u95fb\u557c\u9e1f\u3002"] * 8,
    "Hebrew": ["\u05d1\u05e8\u05d0\u05e9\u05d9\u05ea \u05d1\u05e8\u05d0 \u05d0\u05dc\u05d4\u05d9\u05dd"] * 8,
    "emoji": ["\U0001f319 \U0001f30a \U0001f33f"] * 8,
    "one word of 480 letters": ["a" * 480],
}
SHOW = """lines => {
    for (const verse of document.querySelectorAll(".verse")) verse.replaceChildren(...lines.map(line => {
        const span = document.createElement("span");
        span.textContent = line;
        return span;
    }));
    dispatchEvent(new Event("resize"));
    const overflow = [...document.querySelectorAll(".box")].map(box => box.scrollHeight - box.clientHeight);
    const size = parseFloat(getComputedStyle(document.querySelector(".verse")).fontSize);
    return { overflow, share: innerHeight / size, page: document.documentElement.scrollHeight - innerHeight };
}"""


def test_any_two_verses_fit_on_any_stage_and_are_readable_from_the_last_row(browser: Any, drawn: Evening) -> None:
    match = open_next(drawn)
    assert within(10, lambda: state_shows(drawn, match.id))
    page = browser.new_page()
    for width, height in ((1920, 1080), (1024, 768), (2560, 1080)):
        page.set_viewport_size({"width": width, "height": height})
        page.goto(f"{drawn.url}/stage")
        page.locator('.verse[style*="font-size"]').first.wait_for(timeout=SOON)
        for kind, lines in VERSES.items():
            shown = page.evaluate(SHOW, lines)
            assert max(shown["overflow"]) <= 1 and shown["page"] <= 0, (kind, width, shown)
            assert shown["share"] <= (22 if kind.startswith("six") and width > 1024 else 36), (kind, width, shown)
    page.close()
    bracket.undo_match(drawn.db, match.id, now=time.time())


def test_a_vote_made_while_the_server_is_away_is_sent_when_it_is_back(browser: Any, tmp_path: Path) -> None:
    served = Evening(tmp_path / "event", now=None).begin()
    served.drawn(verses(2))
    served.serve()
    open_next(served)
    context = browser.new_context(**PHONE)
    page = context.new_page()
    page.goto(f"{served.url}/")
    page.locator("#vote-left").wait_for()  # the page may be a moment older than the match
    assert served.server is not None
    served.server.end()
    page.locator("#vote-left").tap()
    page.get_by_text("Your vote is not sent yet").wait_for(timeout=SOON)
    assert page.locator(".verse").count() == 2, "the page stays"
    served.serve()
    page.get_by_role("heading", name="Your vote is saved").wait_for(timeout=SOON)
    assert within(10, lambda: b'"votes":1' in ask(served.port, "GET /api/v1/state")[2])
    context.close()
    served.end()


def test_two_tabs_of_a_phone_show_the_same_vote(browser: Any, drawn: Evening) -> None:
    match = open_next(drawn)
    assert within(10, lambda: state_shows(drawn, match.id))
    context = browser.new_context(**PHONE)
    first, second = context.new_page(), context.new_page()
    for page in (first, second):
        page.goto(f"{drawn.url}/")
    first.locator("#vote-left").tap()
    first.locator("article.mine:first-of-type").wait_for(timeout=SOON)
    second.locator("article.mine:first-of-type").wait_for(timeout=SOON)
    second.locator("#vote-right").tap()
    first.locator("article.mine:last-of-type").wait_for(timeout=SOON)
    context.close()
    bracket.undo_match(drawn.db, match.id, now=time.time())


def test_a_phone_that_listens_shows_a_new_match_without_asking_for_it(browser: Any, drawn: Evening) -> None:
    context = browser.new_context(**PHONE)
    page = context.new_page()
    asked: list[str] = []
    with page.expect_response("**/api/v1/events"):  # the server follows this phone now
        page.goto(f"{drawn.url}/")
    page.on("request", lambda request: asked.append(request.method + " " + request.url.removeprefix(drawn.url)))
    match = open_next(drawn)
    page.get_by_role("heading", name="Which verse is better?").wait_for(timeout=SOON)
    assert "GET /" not in asked, "the change brought the page with it"
    page.locator("#vote-right").tap()  # the form has this browser's token
    page.get_by_role("heading", name="Your vote is saved").wait_for(timeout=SOON)
    assert within(10, lambda: b'"votes":1' in ask(drawn.port, "GET /api/v1/state")[2])
    bracket.undo_match(drawn.db, match.id, now=time.time())
    page.locator("#vote-left").wait_for(state="detached", timeout=SOON)
    context.close()


@pytest.mark.parametrize("trouble", ["refused", "collected"])
def test_a_phone_that_hears_nothing_asks_as_before(browser: Any, drawn: Evening, trouble: str) -> None:
    context = browser.new_context(**PHONE)
    page = context.new_page()
    if trouble == "refused":
        page.route("**/api/v1/events", lambda route: route.fulfill(status=503))
    else:  # by a proxy: the head arrives, and no event
        page.add_init_script("window.EventSource = class extends EventTarget { close() {} }")
    page.goto(f"{drawn.url}/")
    match = open_next(drawn)
    page.get_by_role("heading", name="Which verse is better?").wait_for(timeout=SOON)
    bracket.undo_match(drawn.db, match.id, now=time.time())
    page.locator("#vote-left").wait_for(state="detached", timeout=SOON)
    context.close()
