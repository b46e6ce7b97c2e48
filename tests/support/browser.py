"""Chromium for the tests of pages, the screens that it pretends to have, and windows without a server."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from flask.testing import FlaskClient

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}
PROJECTOR: dict[str, Any] = {"viewport": {"width": 1920, "height": 1080}}
LAPTOP: dict[str, Any] = {"viewport": {"width": 1280, "height": 800}}
SCREENS: dict[str, dict[str, Any]] = {
    "4:3": {"viewport": {"width": 1024, "height": 768}},
    "16:9": PROJECTOR,
    "21:9": {"viewport": {"width": 2560, "height": 1080}},
    "phone": PHONE,
}
BASE = "http://verses.test"
OPEN: list[Any] = []  # contexts of browser windows of the present test
needs_chromium = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium on this machine: install Debian's package chromium"
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Playwright's browser, started once for the tests of a file; skips them where Playwright is not installed."""
    playwright_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright_api.sync_playwright() as playwright:
        # Chromium has no sandbox of its own where tests run as root
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


class Window:
    """A browser window on the pages of an event, without a server between them; closed before the event is."""

    def __init__(
        self, browser: Any, client: FlaskClient, screen: dict[str, Any], scheme: str, motion: str = "reduce"
    ) -> None:
        self._client = client
        self.context = browser.new_context(color_scheme=scheme, reduced_motion=motion, **screen)
        OPEN.append(self.context)
        self.context.route("**/*", self._answer)
        self.page = self.context.new_page()

    def _answer(self, route: Any) -> None:
        is_race = "/api/v1/race" in route.request.url
        if route.request.method != "GET" or ("/api/" in route.request.url and not is_race):
            route.fulfill(status=503)
            return
        response = self._client.get(route.request.url.removeprefix(BASE))
        route.fulfill(status=response.status_code, headers=dict(response.headers), body=response.data)

    def show(self, path: str) -> Any:
        self.page.goto(BASE + path)
        if path == "/stage":
            self.page.evaluate("document.fonts.ready")
            self.page.wait_for_timeout(50)  # the stage fits its verses when its typefaces are there
        return self.page
