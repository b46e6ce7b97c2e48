"""The page that counts a published event again from its file, in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from arena.audit.archive import archive_chunks, read_archive
from arena.rules.rebuild import podium, rebuild
from arena.services.export import export_event
from arena.services.log import read_records
from tests.support.browser import PHONE, PROJECTOR, needs_chromium
from tests.support.evening import Evening
from tests.support.played import play_evening

pytestmark = [pytest.mark.slow, needs_chromium]
SOON = 90_000  # ms


@pytest.fixture(scope="module")
def evening(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Evening]:
    evening = play_evening(tmp_path_factory.mktemp("counted") / "event")
    evening.serve()
    yield evening
    evening.end()


@pytest.fixture(scope="module")
def exported(evening: Evening) -> Path:
    path = evening.folder / "event.zip"
    export_event(evening.db, evening.bundles, path, key=evening.key)
    return path


def visit(browser: Any, evening: Evening, address: str, size: dict[str, Any], **more: Any) -> Any:
    context = browser.new_context(**size, **more)
    context.set_default_timeout(SOON)
    page = context.new_page()
    page.problems = []
    page.on("pageerror", lambda error: page.problems.append(str(error)))
    page.on("console", lambda message: page.problems.append(message.text) if message.type == "error" else None)
    page.goto(f"{evening.url}{address}")
    return page


def test_a_phone_counts_the_event_again_and_says_the_champion_and_the_head(
    browser: Any, evening: Evening, exported: Path
) -> None:
    page = visit(browser, evening, "/results", PHONE)
    held: list[Any] = []
    page.route("**/static/audit.js*", lambda route: held.append(route))
    page.get_by_role("link", name="Count everything again").click()
    page.get_by_label("File of the event").set_input_files(exported)
    held.pop().continue_()
    page.locator("#status", has_text="everything that this page checks agrees").wait_for()
    with evening.db.reading() as session:
        records = list(read_records(session))
    champion = podium(rebuild(records)).champion or ""
    assert page.locator("#checks .bad").count() == 0 and page.locator("#checks .good").count() == 5
    assert champion[:8] in page.locator("#checks").inner_text()
    assert page.locator("#head").inner_text() == records[-1].hash
    assert page.locator("#matches tr").count() >= 3 and "lot" in page.locator("#matches").inner_text()
    wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wide == 0 and page.problems == []
    page.context.close()


def test_a_changed_ballot_is_named_in_the_language_of_the_phone(
    browser: Any, evening: Evening, exported: Path, tmp_path: Path
) -> None:
    archive = read_archive(exported)
    parts = [(member.name, archive.read(member.name, 2**30) or b"") for member in archive.members]
    changed = [(n, data.replace(b'"upper"', b'"lower"', 1) if n == "ballots.json" else data) for n, data in parts]
    forged = tmp_path / "forged.zip"
    forged.write_bytes(b"".join(archive_chunks(changed)))
    page = visit(browser, evening, "/audit", PROJECTOR, locale="de-DE")
    page.get_by_label("Datei der Veranstaltung").set_input_files(forged)
    page.locator("#status.bad", has_text="Dinge stimmen nicht").wait_for()
    said = page.locator("#checks .bad").all_inner_texts()
    assert any("ballots.json wurde geändert" in one for one in said)
    assert any("Abstimmung 1: im Protokoll steht" in one for one in said)
    none = tmp_path / "none.zip"
    none.write_bytes(b"PK\x03\x04" + b"\0" * 100)
    page.get_by_label("Datei der Veranstaltung").set_input_files(none)
    page.locator("#status.bad", has_text="keine Datei, die arena export geschrieben hat").wait_for()
    assert page.locator("#found").is_hidden() and page.problems == []
    page.context.close()
