"""Several events on one server, each under a path of its own: their pages, cookies, links and uploads."""

from __future__ import annotations

import re
from collections.abc import Iterator
from http.cookiejar import CookieJar
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.request import HTTPCookieProcessor, ProxyHandler, build_opener

import pytest
from click.testing import CliRunner
from flask.testing import FlaskClient

from arena.server.network import with_address
from arena.services.bracket import close_match, open_match
from arena.services.queries import list_entries, snapshot, stage_view
from arena.services.voters import set_admission
from arena.web.pushed import PushedPages
from tests.support.browser import PHONE, needs_chromium
from tests.support.bundles import verses
from tests.support.evening import Evening
from tests.support.pages import Tags
from tests.support.server import ask, within
from tests.support.small_models import small_checkpoint
from trainer.checkpoint import write_checkpoint
from trainer.cli import cli as trainer
from trainer.errors import UploadError
from trainer.submission.http_client import Address

ROOT = "/e/spring"
AT_LAST = 60.0  # seconds


# Pages


@pytest.fixture
def evening(tmp_path: Path) -> Iterator[Evening]:
    evening = Evening(tmp_path / "event", public_url=f"https://verses.example.org{ROOT}").create()
    yield evening
    evening.end()


def addresses(page: str) -> set[str]:
    """Every address on this server that a page or one of its scripts may ask for."""
    values = (value or "" for _, attributes in Tags(page).tags for value in attributes.values())
    return {value for value in values if re.match(r"/[^/ ]|/$", value)}


def follow(client: FlaskClient, root: str, start: str, host: str = "http://localhost") -> dict[str, int]:
    """Follow every link and address of pages from one on, as a browser behind the proxy does; the statuses."""
    statuses: dict[str, int] = {}
    waiting = [start]
    while waiting:
        address = waiting.pop()
        path = address.partition("#")[0]
        if path in statuses or re.search("/events|/vote$|/react$|/link$|/withdraw$|/judge$|/begin$|/logout$", path):
            continue
        assert path.startswith(f"{root}/"), f"{path} is an address of another event"
        answer = client.get(path.removeprefix(root), base_url=f"{host}{root}")
        statuses[path] = answer.status_code
        if "Location" in answer.headers:
            waiting.append(answer.headers["Location"])
        if answer.mimetype == "text/html":
            waiting.extend(addresses(answer.text))
        for name, value in answer.headers:
            if name == "Set-Cookie":
                assert re.search(rf"; Path={root}(/|;|$)", value), value
        answer.close()
    return statuses


def test_every_address_in_every_page_begins_with_the_path_of_its_event(evening: Evening) -> None:
    phone = evening.phone()
    seen: dict[str, int] = {}
    set_admission(evening.db, "pin", now=evening.now)
    seen |= follow(phone, ROOT, f"{ROOT}/")
    set_admission(evening.db, "open", now=evening.now)
    evening.draw(3)
    [match] = playable(evening)
    opened = open_match(evening.db, match, now=evening.now)
    for start in ("/", "/stage", "/race", "/enter", "/mine", "/check"):
        seen |= follow(phone, ROOT, ROOT + start)
    for turn in range(2):
        if turn:
            opened = open_match(evening.db, playable(evening)[0], now=evening.now)
        evening.vote("Ada", opened.id, opened.upper.text)
        evening.now += 1
        close_match(evening.db, opened.id, poll_round=0, now=evening.now)
    seen |= follow(phone, ROOT, f"{ROOT}/") | follow(phone, ROOT, f"{ROOT}/stage")
    assert set(seen.values()) <= {200, 303, 405}, "405: the address of a form"
    for page in ("/join", "/results", "/results/bracket.svg", "/stage", "/votes", "/check", "/api/v1/state"):
        assert seen[ROOT + page] == 200
    assert any(re.fullmatch(f"{ROOT}/entries/[0-9a-f]+/bundle", path) for path in seen)
    assert any(path.startswith(f"{ROOT}/static/") for path in seen)


def test_the_console_has_the_path_where_it_answers_through_a_proxy(evening: Evening) -> None:
    console = evening.make_console(remote=True).test_client()
    assert console.get("/", base_url=f"https://localhost{ROOT}").headers["Location"] == f"{ROOT}/console"
    evening.draw(2)
    token = re.search(r'name="token" value="([^"]+)"', console.get("/console/login", base_url=f"https://x{ROOT}").text)
    assert token
    entered = console.post(
        "/console/login",
        base_url=f"https://x{ROOT}",
        data={"token": token[1], "password": evening.settings.console_password},
    )
    assert entered.headers["Location"] == f"{ROOT}/console"
    assert f"Path={ROOT}/console" in entered.headers["Set-Cookie"]
    seen = follow(console, ROOT, f"{ROOT}/console", "https://x")
    del seen[f"{ROOT}/api/v1/state"]  # the gateway's
    assert set(seen.values()) <= {200, 405}, seen


def test_a_page_that_is_pushed_to_phones_has_the_addresses_of_the_page_that_they_ask_for(evening: Evening) -> None:
    evening.open()
    pages = PushedPages(evening.make_app(), evening.settings, lambda: evening.now)
    made = pages.render(SimpleNamespace(snapshot=snapshot(evening.db, now=evening.now)))
    assert made is not None
    links = re.findall(rb'href=\\"(/[^\\]*)\\"', made.same["en"])
    assert links and all(link.startswith(ROOT.encode() + b"/") for link in links), links


def playable(evening: Evening) -> list[str]:
    """The matches that can be opened now."""
    view = stage_view(evening.db, now=evening.now)
    return [match.id for column in view.rounds for match in column.matches if match.ready and match.state == "pending"]


@pytest.mark.parametrize(
    ("given", "public_url"),
    [
        ("", f"https://verses.example.org{ROOT}"),
        ("https://other.example/", f"https://other.example{ROOT}"),
        ("https://other.example/e/summer/", "https://other.example/e/summer"),
    ],
)
def test_an_address_without_a_path_at_the_start_of_the_server_gets_that_of_the_event(
    evening: Evening, given: str, public_url: str
) -> None:
    assert with_address(evening.settings, port=0, public_url=given).public_url == public_url


def test_the_language_links_of_a_page_that_answers_a_form_lead_to_one_that_can_be_asked_for(evening: Evening) -> None:
    evening.open()
    answer = evening.phone().post("/vote", data={}, base_url=f"http://localhost{ROOT}")
    assert answer.status_code == 403 and f'href="{ROOT}/?lang=de"' in answer.text
    assert 'href="?lang=de"' in evening.phone().get("/results", base_url=f"http://localhost{ROOT}").text


@pytest.mark.parametrize("typed", ["/E/Spring/join", "/e/spring", "/e/spring/"])
def test_the_trainer_takes_capitals_of_a_path_and_refuses_one_that_is_none(typed: str) -> None:
    assert Address.parse(f"https://verses.example.org{typed}").url == f"https://verses.example.org{ROOT}"
    with pytest.raises(UploadError, match="is not an address"):
        Address.parse("https://verses.example.org/e/spring_2")


# Servers


@pytest.fixture(scope="module")
def season(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Evening, Evening]]:
    """Two events, each served under its path at a port of 127.0.0.1: browsers keep one set of cookies for both."""
    folder = tmp_path_factory.mktemp("season")
    events = []
    for name in ("spring", "summer"):
        event = Evening(folder / name, now=None, public_url=f"http://verses.example.org/e/{name}").begin()
        event.serve()
        events.append(event)
    yield events[0], events[1]
    for event in events:
        event.end()


@pytest.mark.slow
def test_other_addresses_lead_to_the_path_of_the_event(season: tuple[Evening, Evening]) -> None:
    port = season[0].port
    for asked, led in (
        ("/results?lang=de", f"{ROOT}/results?lang=de"),
        (ROOT, f"{ROOT}/"),
        ("/E/Spring/Results", f"{ROOT}/Results"),
        ("/E/SPRING", f"{ROOT}/"),
        ("/e/springtime/results", f"{ROOT}/e/springtime/results"),
        ("//evil.example/%0d%0aX:1", f"{ROOT}/evil.example/%0D%0AX%3A1"),
    ):
        status, headers, _ = ask(port, f"GET {asked}")
        assert (status, headers["location"]) == (308, led)
    assert ask(port, "GET /healthz")[0] == ask(port, f"GET {ROOT}/api/v1/state")[0] == 200
    assert ask(port, f"GET {ROOT}/console")[0] == 404
    for twice in (f"{ROOT}{ROOT}/", f"{ROOT}{ROOT}/results", f"{ROOT}{ROOT}"):
        assert ask(port, f"GET {twice}")[0] == 404
    refused = ask(port, f"POST {ROOT}/vote", b"x=1")
    assert refused[0] == 403 and f'href="{ROOT}/"'.encode() in refused[2]


@pytest.mark.slow
def test_a_browser_has_a_voter_of_its_own_in_each_event(season: tuple[Evening, Evening]) -> None:
    spring, summer = season
    jar = CookieJar()
    browser = build_opener(HTTPCookieProcessor(jar), ProxyHandler({}))

    def voters_after(page: str) -> dict[str, str | None]:
        for event in (spring, summer, spring, summer):
            browser.open(event.url + page).close()
        return {cookie.path: cookie.value for cookie in jar if cookie.name == "t"}

    before = voters_after("/")
    assert before.keys() == {"/e/spring", "/e/summer"}
    assert voters_after("/mine") == before, "none replaced"


@pytest.mark.slow
def test_a_verse_is_entered_at_any_address_of_its_event(
    season: tuple[Evening, Evening], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    spring, summer = season
    monkeypatch.chdir(tmp_path)
    write_checkpoint(tmp_path / "a.safetensors", small_checkpoint())
    words = ["submit", "--ckpt", "a.safetensors", "--prompt", "AB", "--tokens", "40", "--name", "Ada", "--to"]
    for event, page in ((spring, "/join"), (summer, "/results?lang=de")):
        done = CliRunner().invoke(trainer, [*words, event.url + page])
        assert done.exit_code == 0, done.output
        assert f"http://verses.example.org{event.settings.path}/mine/" in done.output
    done = CliRunner().invoke(trainer, [*words, f"http://127.0.0.1:{spring.port}"])
    assert f"redirects to {spring.url}: use that address with --to" in str(done.exception)


@pytest.mark.slow
@needs_chromium
def test_a_phone_enters_follows_and_votes_under_the_path(
    browser: Any, season: tuple[Evening, Evening], tmp_path: Path
) -> None:
    summer = season[1]
    bundle = tmp_path / "grace.verse"
    bundle.write_bytes(verses(2)[1])
    context = browser.new_context(**PHONE)
    try:
        page = context.new_page()
        page.goto(f"{summer.url}/enter")
        page.fill("input[name=name]", "Grace")
        page.set_input_files("input[name=bundle]", str(bundle))
        page.click("#upload button")
        page.wait_for_url(f"{summer.url}/mine")
        voter = context.new_page()
        voter.goto(f"{summer.url}/")
        summer.author("Poet 3", 3)
        assert within(AT_LAST, lambda: all(entry.state == "verified" for entry in list_entries(summer.db)))
        summer.close_and_draw()
        open_match(summer.db, playable(summer)[0], now=summer.now)
        voter.wait_for_selector("main[data-ballot]", timeout=1_000 * AT_LAST)
        context.clear_cookies()
        voter.goto(f"{summer.url}/")
        voter.click("form[action='/e/summer/vote'] button[value=left]")
        voter.wait_for_selector(".voted")
        assert voter.url == f"{summer.url}/"
    finally:
        context.close()
