"""The page that writes a verse again, in a real browser: served, saved, and on the stage."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from arena.cli import main
from arena.services import queries
from tests.support.browser import PHONE, PROJECTOR, needs_chromium
from tests.support.bundles import RECIPE, VOCABULARY, Poet, dear_verse, forged_verse, undecided_verse, verse
from tests.support.evening import Evening
from tests.support.small_models import random_weights
from trainer.verse.config import ModelConfig
from trainer.verse.vocabulary import Vocabulary

pytestmark = [pytest.mark.slow, needs_chromium]
SOON = 90_000  # ms; on a machine with every core busy
HOST = "http://verses.test"
MARKUP = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page as `arena check-page` writes it."""
    path = tmp_path_factory.mktemp("saved") / "check.html"
    assert CliRunner().invoke(main, ["check-page", str(path)]).exit_code == 0
    return path


@pytest.fixture
def page(browser: Any, saved: Path) -> Iterator[Any]:
    """The saved page on a phone, without network; it reports no error of its own."""
    context = browser.new_context(**PHONE)
    context.set_default_timeout(SOON)
    page = context.new_page()
    problems: list[str] = []
    asked: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    page.on("request", lambda request: asked.append(request.url))
    context.set_offline(True)
    page.goto(saved.as_uri())
    yield page
    assert problems == []
    assert all(url.startswith(("file:", "blob:")) for url in asked), asked
    context.close()


def choose(page: Any, tmp_path: Path, data: bytes) -> None:
    path = tmp_path / f"{hashlib.sha256(data).hexdigest()[:8]}.verse"  # the same name again would be no change
    path.write_bytes(data)
    page.get_by_label("Bundle").set_input_files(path)
    page.locator("input[value=all]").evaluate("radio => { radio.checked = true; }")


def heading(page: Any) -> str:
    page.locator("#result-text", has_text=re.compile("^(PASS|FAIL|UNDECIDED):")).wait_for(timeout=SOON)
    return str(page.locator("#result-heading").inner_text())


def test_the_saved_page_writes_a_verse_without_network_and_shows_what_it_chose_from(page: Any, tmp_path: Path) -> None:
    poet = Poet.random(1)
    written = poet.write()
    choose(page, tmp_path, poet.pack(written))
    assert heading(page) == "The same, letter by letter"
    text = page.locator("[data-part=text]").text_content()
    assert text == VOCABULARY.decode(written.ids)
    rows = page.locator("[data-part=candidates] li")
    assert rows.count() >= 5 and page.locator(".candidates .chosen").count() == 1
    slider = page.locator("#step")
    slider.fill("1")
    assert page.locator("[data-part=where]").inner_text() == f"Token 1 of {len(written.ids)}"
    shown = page.locator(".candidates .chosen code").inner_text()
    assert shown == VOCABULARY.symbols[written.ids[0]].replace("\n", "⏎").replace(" ", "␣")
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= PHONE["viewport"]["width"]


def test_a_token_of_several_characters_is_shown_whole(page: Any, tmp_path: Path) -> None:
    vocabulary = Vocabulary.bpe("\n aé😀", [(2, 3), (4, 4), (5, 1), (7, 6), (0, 0)])  # aé, 😀😀, aé␣, aé␣😀😀, ⏎⏎
    config = ModelConfig("modern", 1, 2, 16, 32, vocabulary.size)
    poet = Poet(random_weights(config, 1, 0.3), config, vocabulary)
    written = poet.write(replace(RECIPE, prompt_ids=(8,), temperature=200))
    choose(page, tmp_path, poet.pack(written))
    assert heading(page) == "The same, letter by letter"
    assert page.locator("[data-part=prompt]").text_content() == "aé 😀😀"
    assert page.locator("[data-part=text]").text_content() == vocabulary.decode(written.ids)
    assert set(written.ids) >= set(range(5, 10))
    for position, token in enumerate(written.ids):
        page.locator("#step").fill(str(position + 1))
        name = page.locator(".candidates .chosen code").inner_text()
        assert name == vocabulary.tokens[token].replace("\n", "⏎").replace(" ", "␣")


def test_a_forged_verse_is_shown_with_where_it_differs_and_an_undecided_one_as_such(page: Any, tmp_path: Path) -> None:
    choose(page, tmp_path, forged_verse(3))
    assert heading(page) == "Not the same"
    assert "and the bundle says" in page.locator("#result-text").inner_text()
    assert page.locator("#claimed").is_visible()
    choose(page, tmp_path, undecided_verse())
    page.get_by_text("UNDECIDED:").wait_for(timeout=SOON)
    assert page.locator("#claimed").is_hidden()


def test_a_file_that_is_no_bundle_is_refused_by_its_rule(page: Any, tmp_path: Path) -> None:
    for data, code in ((b"To be, or not to be", "header-length"), (verse(0)[:-1], "truncated"), (b"", "empty")):
        choose(page, tmp_path, data)
        page.get_by_text(f"rule {code}").wait_for(timeout=SOON)
        assert page.locator("#writing").is_hidden() and page.locator("#stop").is_hidden()


def test_what_a_bundle_holds_stays_text(page: Any, tmp_path: Path) -> None:
    vocabulary = Vocabulary.chars("".join(dict.fromkeys(MARKUP + "\n ")))
    config = ModelConfig("modern", 1, 2, 16, 32, vocabulary.size)
    poet = Poet(random_weights(config, 1, 0.3), config, vocabulary)
    prompt = tuple(vocabulary.symbols.index(character) for character in MARKUP)
    choose(page, tmp_path, poet.pack(poet.write(replace(RECIPE, prompt_ids=prompt))))
    heading(page)
    assert page.locator("[data-part=prompt]").text_content() == MARKUP
    assert page.locator("#check img").count() == 0


def test_a_dear_bundle_says_its_cost_first_and_can_be_stopped_while_the_page_answers(page: Any, tmp_path: Path) -> None:
    choose(page, tmp_path, dear_verse(1))
    page.locator("#cost", has_text="It takes about").wait_for(timeout=SOON)
    begin = page.get_by_role("button", name="Write the verse")
    if begin.is_visible():  # on a slow machine the page asks first
        begin.tap()
    page.locator("[data-part=where]", has_text="Token").wait_for(timeout=SOON)
    assert page.evaluate("new Promise((done) => setTimeout(() => done(1 + 1), 0))") == 2
    page.get_by_role("button", name="Stop").tap()
    page.get_by_text("Stopped.").wait_for(timeout=SOON)
    text = page.locator("[data-part=text]").text_content()
    choose(page, tmp_path, verse(0))  # and another one can be checked
    assert heading(page) == "The same, letter by letter"
    assert page.locator("[data-part=text]").text_content() != text


@pytest.fixture(scope="module")
def over(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Evening, str]]:
    """An event whose champion is known, and the champion's entry."""
    evening = Evening(tmp_path_factory.mktemp("over") / "event").create()
    author, _ = evening.draw(2)
    evening.decide("r1m1", author.text)
    evening.now += 60
    yield evening, author.entry
    evening.end()


def visit(browser: Any, evening: Evening, path: str, screen: dict[str, Any], busy: int = 0) -> tuple[Any, list[str]]:
    """A page of the application in the browser, without a server between them; the first downloads find it busy."""
    context = browser.new_context(**screen)
    context.set_default_timeout(SOON)
    client = evening.phone()
    left = [busy]

    def answer(route: Any) -> None:
        address = route.request.url.removeprefix(HOST)
        if address.endswith("/bundle") and left[0] > 0:
            left[0] -= 1
            route.fulfill(status=503, headers={"Retry-After": "1"}, body="later")
            return
        with client.get(address) as response:
            route.fulfill(status=response.status_code, headers=dict(response.headers), body=response.data)

    context.route("**/*", answer)
    page = context.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda message: problems.append(message.text) if "Security" in message.text else None)
    page.goto(f"{HOST}{path}")
    return page, problems


def test_a_phone_writes_a_verse_of_the_event_again_and_waits_where_the_server_is_busy(
    browser: Any, over: tuple[Evening, str]
) -> None:
    evening, entry = over
    page, problems = visit(browser, evening, f"/entries/{entry}", PHONE, busy=1)
    page.get_by_role("link", name="Watch your device write it again").tap()
    page.locator("input[value=all]").evaluate("radio => { radio.checked = true; }")
    page.get_by_role("button", name="Download the model").tap()
    page.get_by_text("This page tries again in").wait_for(timeout=SOON)
    assert heading(page) == "The same, letter by letter"
    assert problems == []  # nothing that the content security policy forbids
    page.context.close()


def test_the_check_page_of_the_event_takes_a_dropped_file(
    browser: Any, over: tuple[Evening, str], tmp_path: Path
) -> None:
    page, problems = visit(browser, over[0], "/check", {"viewport": {"width": 1280, "height": 800}})
    drop = """(bytes) => {
      const data = new DataTransfer();
      data.items.add(new File([Uint8Array.from(bytes)], "a.verse"));
      document.dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true }));
    }"""
    page.locator("input[value=all]").evaluate("radio => { radio.checked = true; }")
    page.evaluate(drop, list(verse(0)))
    assert heading(page) == "The same, letter by letter" and problems == []
    page.context.close()


def test_the_engine_of_a_served_page_may_use_webassembly_and_the_page_itself_may_not(
    browser: Any, over: tuple[Evening, str]
) -> None:
    page, _ = visit(browser, over[0], "/check", PHONE)
    with page.expect_event("worker") as started:
        page.evaluate("window.engine = new Worker(document.querySelector('#check').dataset.worker)")
    compile_empty = """() => {
      try {
        return new WebAssembly.Module(Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0)) instanceof WebAssembly.Module;
      } catch (error) {
        return error.name;
      }
    }"""
    assert started.value.evaluate(compile_empty) is True
    assert page.evaluate(compile_empty) == "CompileError"
    page.context.close()


def test_the_stage_writes_its_champion_live_and_says_that_it_is_the_same(
    browser: Any, over: tuple[Evening, str]
) -> None:
    page, problems = visit(browser, over[0], "/stage", PROJECTOR)
    page.locator(".again", has_text="the same, letter by letter").wait_for(timeout=2 * SOON)
    shown = "".join(page.locator(".champion .verse").inner_text().split())
    champion = queries.stage_view(over[0].db, now=over[0].now).champion
    assert champion is not None and shown == "".join((champion.prompt + champion.text).split())
    assert page.locator(".champion .unseen:not(:empty)").count() == 0
    assert problems == []
    page.context.close()


def test_the_stage_shows_its_champion_by_the_clock_where_the_bundle_cannot_be_had(
    browser: Any, over: tuple[Evening, str]
) -> None:
    page, _ = visit(browser, over[0], "/stage", PROJECTOR, busy=1_000)
    page.locator(".champion .unseen").first.wait_for(state="attached", timeout=SOON)
    page.locator(".champion .unseen:not(:empty)").first.wait_for(state="detached", timeout=2 * SOON)
    assert page.locator(".again").inner_text() == ""
    page.context.close()
