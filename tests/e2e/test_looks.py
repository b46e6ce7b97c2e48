"""What a verse may do to the page around it, in a real browser: nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from arena.store.schema import Entry
from tests.support.browser import PHONE, PROJECTOR, needs_chromium
from tests.support.evening import Evening

pytestmark = [pytest.mark.slow, needs_chromium]
STACKS = ["a" + "\u0301" * 430, "a" + "\u0489" * 430, "\u0e01" + "\u0e49" * 430, "a" + "\u20dd" * 430, "W" * 480]


def show(browser: Any, evening: Evening, path: str, screen: dict[str, Any], **more: Any) -> Any:
    """A page of the application in the browser, without a server between them."""
    context = browser.new_context(java_script_enabled=False, **screen, **more)
    client = evening.organizer() if path == "/console" else evening.phone()

    def answer(route: Any) -> None:
        response = client.get(route.request.url.removeprefix("http://verses.test"))
        route.fulfill(status=response.status_code, headers=dict(response.headers), body=response.data)

    context.route("**/*", answer)
    page = context.new_page()
    page.goto(f"http://verses.test{path}")
    return page


@pytest.mark.parametrize(("path", "screen"), [("/", PHONE), ("/console", PHONE), ("/stage", PROJECTOR)])
def test_no_verse_widens_the_page_or_paints_outside_of_its_box(
    browser: Any, tmp_path: Path, path: str, screen: dict[str, Any]
) -> None:
    """Such verses do not enter; those that do are kept in their boxes all the same."""
    evening = Evening(tmp_path / "event").create()
    evening.voting(2)
    before = None
    for text in ["a", *STACKS]:
        with evening.db.writing() as session:
            session.execute(update(Entry).values(text=f"{text}\n{text}\n{text}"))
        page = show(browser, evening, path, screen)
        if path == "/console":
            page.locator("#all > summary").tap()
            page.locator("td details summary").first.tap()
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= screen["viewport"]["width"], text[:2]
        heading = page.locator("h1").first
        assert page.locator(".verse").first.evaluate("e => getComputedStyle(e).contain") == "paint"
        if path == "/":
            picture = heading.screenshot()
            before = before or picture
            assert picture == before, "something is painted over the heading"
        page.context.close()
    evening.end()
