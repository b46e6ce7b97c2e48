"""Bundles after the last match, the page that writes verses again, and its saved copy; without a browser."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from arena.cli import main
from arena.services import bracket, disqualification, publishing
from arena.services.queries import console_view
from arena.services.schemas import MatchView
from arena.web.check_page import saved_page
from arena.web.filters import megabytes
from arena.web.modules import JOINED, STATIC, join_modules
from tests.support.bundles import verse
from tests.support.evening import Author, Evening
from tests.support.pages import Tags


@pytest.fixture
def evening(tmp_path: Path) -> Evening:
    return Evening(tmp_path / "event").create()


def addresses(author: Author) -> list[str]:
    return [f"/entries/{author.entry}{page}" for page in ("", "/check", "/bundle")]


def statuses(evening: Evening, author: Author) -> set[int]:
    found = set()
    for address in addresses(author):
        with evening.phone().get(address) as answer:
            found.add(answer.status_code)
    return found


def test_a_bundle_is_secret_until_the_last_match_of_its_verse_is_closed(evening: Evening) -> None:
    authors = {author.entry: author for author in evening.draw(4)}
    assert [statuses(evening, author) for author in authors.values()] == [{404}] * 4, "nobody has played"
    first = bracket.open_match(evening.db, "r1m1", seconds=60, now=evening.now)
    assert first.upper and first.lower
    playing = [authors[first.upper.entry], authors[first.lower.entry]]
    assert [statuses(evening, author) for author in playing] == [{404}] * 2, "a vote is open"
    evening.vote("one", "r1m1", playing[0].text)
    evening.now += 61
    bracket.close_due(evening.db, now=evening.now)
    assert [statuses(evening, author) for author in playing] == [{404}] * 2, "the final and the third place are ahead"
    evening.decide("r1m2", next(a.text for a in authors.values() if a not in playing))
    for match in ("third", "r2m1"):
        ready = next(one for one in bracket_matches(evening) if one.id == match)
        assert ready.upper and ready.lower
        sides = [authors[ready.upper.entry], authors[ready.lower.entry]]
        assert [statuses(evening, author) for author in sides] == [{404}] * 2
        evening.decide(match, sides[0].text)
        assert [statuses(evening, author) for author in sides] == [{200}] * 2, f"after {match}"


def bracket_matches(evening: Evening) -> list[MatchView]:
    return console_view(evening.db, now=evening.now).matches


def test_a_bundle_comes_whole_as_a_file_before_and_after_publishing(evening: Evening) -> None:
    author, _ = evening.draw(2)
    evening.decide("r1m1", author.text)
    for _ in range(2):
        with evening.phone().get(addresses(author)[2]) as answer:
            assert answer.status_code == 200 and answer.data == verse(0)
            assert "attachment" in answer.headers["Content-Disposition"]
        if evening.phone().get("/api/v1/state").json["state"] != "published":
            publishing.publish(evening.db, now=evening.now)
    with evening.phone().get(addresses(author)[2], headers={"Range": "bytes=1000-"}) as rest:
        assert (rest.status_code, rest.data) == (206, verse(0)[1000:]), "a lost download goes on"


def test_a_disqualified_verse_and_a_bundle_that_was_removed_are_not_offered(evening: Evening) -> None:
    author, other = evening.draw(2)
    evening.decide("r1m1", author.text)
    view = evening.phone().get(addresses(author)[0]).text
    assert all(address in view for address in addresses(author)[1:])
    digest = re.search(r"<code class=\"small\">(\w{64})", view)
    assert digest
    evening.bundles.remove(digest[1])
    view = evening.phone().get(addresses(author)[0]).text
    assert not any(address in view for address in addresses(author)[1:])
    assert {evening.phone().get(address).status_code for address in addresses(author)[1:]} == {404}
    disqualification.disqualify(evening.db, other.entry, reason="a copy", now=evening.now)
    assert statuses(evening, other) == {404}


def test_the_page_says_the_size_before_the_tap_and_the_results_lead_there(evening: Evening) -> None:
    author, _ = evening.draw(2)
    evening.decide("r1m1", author.text)
    phone = evening.phone()
    assert addresses(author)[1] in phone.get("/results").text and 'href="/check"' in phone.get("/results").text
    page = phone.get(addresses(author)[1]).text
    assert f"Download the model ({megabytes(len(verse(0)))})" in page
    attributes = next(found for tag, found in Tags(page).tags if found.get("id") == "check")
    assert (attributes["data-bundle"], attributes["data-bytes"]) == (addresses(author)[2], str(len(verse(0))))
    worker = phone.get(attributes["data-worker"] or "")
    assert worker.status_code == 200 and "immutable" in worker.headers["Cache-Control"]
    policies = [answer.headers["Content-Security-Policy"] for answer in (worker, phone.get("/check"))]
    assert [policy.count("'wasm-unsafe-eval'") for policy in policies] == [1, 0], "the engine may, and no page"
    assert all("worker-src 'self'" in policy for policy in policies)


def test_the_stage_names_the_champions_bundle_once_it_is_public(evening: Evening) -> None:
    author, _ = evening.draw(2)
    assert "data-bundle" not in evening.phone().get("/stage").text
    evening.decide("r1m1", author.text)
    evening.now += 60
    champion = next(found for _, found in Tags(evening.phone().get("/stage").text).tags if "data-bundle" in found)
    assert (champion["data-bundle"], champion["data-bytes"]) == (addresses(author)[2], str(len(verse(0))))


def test_the_saved_page_asks_for_nothing_from_anywhere() -> None:
    page = saved_page()
    for tag, attributes in Tags(page).tags:
        assert tag not in ("link", "img", "iframe", "base"), tag
        assert "src" not in attributes and "data-worker" not in attributes
    assert not re.findall(r"https?://(?!www\.w3\.org/2000/svg)", page)
    assert "@import" not in page and "url(" not in page


def test_the_command_writes_the_saved_page_and_replaces_no_file(tmp_path: Path) -> None:
    path = tmp_path / "check.html"
    run = CliRunner().invoke
    assert run(main, ["check-page", str(path)]).exit_code == 0
    assert path.read_text(encoding="utf-8") == saved_page()
    path.write_text("mine")
    refused = run(main, ["check-page", str(path)])
    assert refused.exit_code == 1 and "--force" in refused.output and path.read_text() == "mine"
    assert run(main, ["check-page", str(path), "--force"]).exit_code == 0 and len(path.read_text()) > 1_000


@pytest.mark.parametrize("name", JOINED)
def test_a_joined_script_holds_every_module_once_and_each_after_those_it_needs(name: str) -> None:
    script = join_modules(JOINED[name])
    assert not re.search(r"^(import|export)\b", script, re.MULTILINE)
    for path in STATIC.glob("*/*.js"):
        first_line = path.read_text(encoding="utf-8").splitlines()[0]
        assert script.count(first_line) <= 1, path.name
    if name == "verse-worker.js":
        assert script.index("class Products") < script.index("class VerseModel") < script.index("class MovedModel")


@pytest.mark.parametrize(
    ("modules", "says"),
    [
        (
            {"a": 'import { b } from "./b.js";\nconst c = 1;\n', "b": "export const b = 1;\nconst c = 2;\n"},
            "both declare c",
        ),
        (
            {"a": 'import { b } from "./b.js";\n', "b": 'import { a } from "./a.js";\nexport const b = 1;\n'},
            "imports itself",
        ),
        ({"a": 'import { b as c } from "./b.js";\n', "b": "export const b = 1;\n"}, "another form"),
        ({"a": "export default 1;\n"}, "another form"),
    ],
)
def test_modules_that_cannot_be_joined_are_refused(tmp_path: Path, modules: dict[str, str], says: str) -> None:
    for name, source in modules.items():
        (tmp_path / f"{name}.js").write_text(source)
    with pytest.raises(ValueError, match=says):
        join_modules(tmp_path / "a.js")


def test_scripts_of_the_pages_set_text_and_never_markup() -> None:
    for path in STATIC.glob("*/*.js"):
        source = path.read_text(encoding="utf-8")
        for word in (
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "eval(",
            "new Function",
            "http:",
        ):
            assert word not in source.replace("http://www.w3.org/2000/svg", ""), (path.name, word)
