"""A phone that has left the room's Wi-Fi, in a real browser: its page says what may be the matter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.browser import PHONE, needs_chromium
from tests.support.evening import Evening

pytestmark = [pytest.mark.slow, needs_chromium]


@pytest.mark.parametrize(("origin", "asks"), [("http://192.168.1.5:8000", True), ("https://verses.test", False)])
def test_a_page_that_gets_no_answer_asks_whether_the_phone_is_still_in_the_wi_fi(
    browser: Any, tmp_path: Path, origin: str, asks: bool
) -> None:
    evening = Evening(tmp_path / "event").begin()
    context, client, gone = browser.new_context(**PHONE), evening.phone(), False

    def answer(route: Any) -> None:
        if gone or route.request.url.endswith("/events"):
            route.abort()
            return
        response = client.get(route.request.url.removeprefix(origin))
        route.fulfill(status=response.status_code, headers=dict(response.headers), body=response.data)

    context.route("**/*", answer)
    page = context.new_page()
    page.clock.install()
    page.goto(origin)
    page.clock.run_for(5_000)
    assert page.locator("#net").inner_text() == ""
    gone = True
    for _ in range(20):
        page.clock.run_for(5_000)
        if said := page.locator("#net").inner_text():
            break
    assert said.startswith("The server does not respond.")
    assert ("Stay in it, even if it has no internet." in said) is asks
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["viewport"]["width"]
    context.close()
    evening.end()
