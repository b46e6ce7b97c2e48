"""A whole evening in the browser: two phones, stage and console, from two entries to the champion."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from arena.services.schemas import EventRules
from tests.support.browser import PHONE, PROJECTOR, needs_chromium
from tests.support.bundles import verse
from tests.support.evening import Evening

pytestmark = [pytest.mark.slow, needs_chromium]
SOON = 30_000  # ms


@pytest.mark.parametrize("javascript", [True, False], ids=["javascript", "plain"])
def test_an_evening_from_the_first_entry_to_the_champion(browser: Any, tmp_path: Path, javascript: bool) -> None:
    """The console is used by its buttons alone. Without JavaScript, a page is asked for again instead of following."""
    served = Evening(tmp_path / "event", now=None).create(EventRules(reading_seconds=0.0))
    served.serve()
    contexts = [browser.new_context(java_script_enabled=javascript, **PHONE) for _ in range(2)]
    contexts += [browser.new_context(java_script_enabled=javascript, **PROJECTOR) for _ in range(2)]
    ada, bob, stage, console = (context.new_page() for context in contexts)

    def shows(page: Any, text: str) -> None:
        if javascript:
            page.get_by_text(text).first.wait_for(timeout=SOON)
            return
        for _ in range(60):
            if text in page.inner_text("main"):
                return
            page.wait_for_timeout(500)
            page.reload()
        raise AssertionError(f"{page.url} never showed {text!r}:\n{page.inner_text('main')}")

    def press(name: str) -> None:
        console.get_by_role("button", name=name, exact=True).first.click()
        console.wait_for_load_state()

    try:
        console.goto(f"{served.console_url}/console/login")
        console.get_by_label("Password").fill(served.settings.console_password)
        press("Log in")
        stage.goto(f"{served.url}/stage")
        press("Open submissions")
        for number, (page, name) in enumerate(((ada, "Ada"), (bob, "Bob"))):
            path = tmp_path / f"{name}.verse"
            path.write_bytes(verse(number))
            page.goto(f"{served.url}/enter")
            page.get_by_label("Your name, as everybody will see it").fill(name)
            page.get_by_label("Bundle file").set_input_files(path)
            page.get_by_role("button", name="Send it").tap()
            page.wait_for_url("**/mine", timeout=SOON)
            shows(page, "Verified: it takes part")
        press("Close submissions now")
        shows(console, "Every entry has its verdict")
        console.get_by_label("A word from the room").fill("nightingale")
        press("Draw the bracket")
        shows(stage, "Final")
        press("Open Final")
        shows(stage, "Which verse is better?")
        for page in (ada, bob):  # both are authors: they see the match, and have no vote
            page.goto(f"{served.url}/")
            shows(page, "One of these verses is yours")
        guest = browser.new_context(java_script_enabled=javascript, **PHONE)
        contexts.append(guest)
        voter = guest.new_page()
        voter.goto(f"{served.url}/")
        voter.locator("#vote-left").tap()
        shows(voter, "Your vote is saved")
        shows(console, "1 vote")
        press("Close Final")
        shows(stage, "won")
        for page in (ada, bob, voter):
            shows(page, "The champion")
        console.locator("#pub > summary").click()
        press("Yes, publish")
        shows(console, "Published.")
        voter.goto(f"{served.url}/results")
        shows(voter, "Places")
        assert {"Ada", "Bob"} <= set(voter.locator(".ranking tbody th").all_inner_texts())
    finally:
        for context in contexts:
            context.close()
        served.end()
