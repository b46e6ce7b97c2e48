"""Security of every route: headers, cookies, form tokens, access to the console, Host header, escaping."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from itsdangerous import URLSafeSerializer
from werkzeug.test import TestResponse

from arena.services import bracket, events
from arena.web.login_limit import LOGIN_TRIES, LOGIN_WINDOW
from tests.support.bundles import header_of, verse
from tests.support.evening import WORD, Evening
from tests.support.pages import Tags, post, token_of, vote

EVIL_NAME = "<img src=x onerror=alert(1)>\"'&{{7*7}}"
TEMPLATES = Path(__file__).resolve().parents[2] / "arena" / "web" / "templates"


@pytest.fixture
def evening(tmp_path: Path) -> Evening:
    return Evening(tmp_path / "event").create()


def routes(evening: Evening, method: str) -> Iterator[tuple[str, str]]:
    """Endpoint and an address of every route that takes a method."""
    fills = {"secret": "A" * 24, "entry_id": "0" * 32, "match_id": "r1m1", "name": "arena.css"}
    for rule in evening.app.url_map.iter_rules():
        if method in rule.methods:
            yield rule.endpoint, re.sub(r"<(?:\w+:)?(\w+)>", lambda found: fills[found[1]], rule.rule)


def check_headers(answer: TestResponse, address: str) -> None:
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy and "form-action 'self'" in policy, address
    assert answer.headers["X-Content-Type-Options"] == "nosniff", address
    assert answer.headers["X-Frame-Options"] == "DENY", address
    assert answer.headers["Referrer-Policy"] == "no-referrer", address
    for cookie in answer.headers.getlist("Set-Cookie"):
        assert "HttpOnly" in cookie and "SameSite=" in cookie, address


@pytest.mark.parametrize("state", ["draft", "voting"])
def test_every_route_has_the_policy_and_the_flags(evening: Evening, state: str) -> None:
    if state == "voting":
        evening.voting()
    seen = 0
    for method in ("GET", "POST", "PATCH", "DELETE"):
        for _, address in routes(evening, method):
            for client in (evening.phone(), evening.organizer()):
                check_headers(client.open(address, method=method), address)
                seen += 1
    assert seen > 40
    check_headers(evening.phone().get("/no-such-page"), "404")
    check_headers(evening.phone().put("/vote"), "405")


def test_every_post_without_a_token_is_refused(evening: Evening) -> None:
    evening.voting()
    refused = 0
    for endpoint, address in routes(evening, "POST"):
        if endpoint.startswith("api."):
            continue
        for client in (evening.phone(), evening.organizer()):
            client.get("/")
            for data in (
                {},
                {"token": "x"},
                {"token": URLSafeSerializer("guess", salt="verse-form-1").dumps(["", ""])},
            ):
                answer = client.post(address, data=data)
                assert (answer.status_code, "not made for this browser" in answer.text) == (403, True), address
                refused += 1
    assert refused >= 6 * 15


def test_the_api_takes_no_cookie_without_a_token(evening: Evening) -> None:
    events.open_submissions(evening.db, now=evening.now)
    client = evening.phone()
    page = client.get("/enter")
    data = header_of(verse(10))
    for method, address in (
        ("POST", "/api/v1/entries?name=A"),
        ("PATCH", "/api/v1/entries/1"),
        ("DELETE", "/api/v1/entries/1"),
    ):
        answer = client.open(address, method=method, data=data)
        assert answer.status_code == 401, address
        assert answer.json["error"] == "no-secret" and answer.headers["WWW-Authenticate"] == "Bearer"
    forged = client.post("/api/v1/entries?name=A", data=data, headers={"X-Form-Token": "x"})
    assert (forged.status_code, forged.json["error"]) == (403, "form-token")
    taken = client.post("/api/v1/entries?name=A", data=data, headers={"X-Form-Token": token_of(page)})
    assert taken.status_code == 201


def test_a_form_token_of_one_browser_is_refused_from_another(evening: Evening) -> None:
    evening.voting()
    one, other = evening.phone(), evening.phone()
    other.get("/")
    answer = other.post(
        "/vote", data={"token": token_of(one.get("/")), "match": "r1m1", "poll_round": "0", "side": "left"}
    )
    assert answer.status_code == 403
    assert ">0</span>. The result" in evening.phone().get("/").text


def test_a_forged_cookie_is_refused_and_replaced(evening: Evening) -> None:
    evening.voting()
    client = evening.phone()
    for value in (
        "AAAAAAAAAAAAAAAAAAAAAAAA",
        URLSafeSerializer("guess", salt="verse-voter-1").dumps("A" * 24),
        "\x00",
        "",
    ):
        client.set_cookie("t", value)
        answer = client.post("/vote", data={"match": "r1m1", "poll_round": "0", "side": "left"})
        assert answer.status_code == 403
        client.set_cookie("t", value)
        fresh = client.get("/")
        assert fresh.status_code == 200
        assert any(cookie.startswith("t=") for cookie in fresh.headers.getlist("Set-Cookie"))
    assert vote(client, "left").status_code == 303


def test_cookies_are_secure_where_the_address_is(tmp_path: Path) -> None:
    plain, safe = (
        Evening(tmp_path / "a").create(),
        Evening(tmp_path / "b", public_url="https://verses.example.org").create(),
    )
    assert "Secure" not in plain.phone().get("/").headers["Set-Cookie"]
    assert "Secure" in safe.phone().get("/").headers["Set-Cookie"]
    console = plain.phone().get("/console/login").headers["Set-Cookie"]
    assert "Path=/console" in console and "SameSite=Strict" in console


def test_no_page_trusts_the_host_header(tmp_path: Path) -> None:
    evening = Evening(tmp_path / "event", public_url="http://192.168.7.7:8000").create()
    author = evening.authors(1)[0]
    for address in (
        "/",
        "/enter",
        "/mine",
        f"/mine/{author.secret}",
        "/results",
        "/stage",
        "/api/v1/state",
        "/nothing",
    ):
        answer = evening.phone().get(address, headers={"Host": "evil.example"})
        assert "evil.example" not in answer.text + str(answer.headers), address
    answer = evening.phone().post(
        "/api/v1/entries?name=A",
        data=header_of(verse(11)),
        headers={"Host": "evil.example", "Authorization": "Bearer " + "B" * 24},
    )
    assert answer.json["link"] == "http://192.168.7.7:8000/mine/" + "B" * 24
    assert "192.168.7.7:8000" in evening.phone().get("/stage").text


def test_the_console_answers_this_machine_only(evening: Evening) -> None:
    for peer in ("192.168.1.9", "10.0.0.1", "fe80::1"):
        answer = evening.phone().get("/console/login", environ_base={"REMOTE_ADDR": peer})
        assert answer.status_code == 403 and "organizer" in answer.text
    for header in ("X-Forwarded-For", "Forwarded", "Via", "X-Real-IP"):
        assert evening.phone().get("/console/login", headers={header: "1.2.3.4"}).status_code == 403, header
    assert evening.phone().get("/console/login", headers={"Host": "verses.example.org"}).status_code == 403
    for host in ("127.0.0.1:8000", "localhost:8000", "[::1]:8000", "localhost"):
        assert evening.phone().get("/console/login", headers={"Host": host}).status_code == 200, host


def test_the_console_answers_other_machines_only_when_configured_to(tmp_path: Path) -> None:
    evening = Evening(tmp_path / "event", public_url="https://verses.example.org").create()
    evening.app = evening.make_app(console_remote=True)
    answer = evening.phone().get(
        "/console/login", headers={"Host": "verses.example.org"}, environ_base={"REMOTE_ADDR": "192.168.1.9"}
    )
    assert answer.status_code == 200
    assert "Secure" in answer.headers["Set-Cookie"]


def test_every_page_of_the_console_requires_the_password(evening: Evening) -> None:
    evening.voting()
    client = evening.phone()
    token = token_of(client.get("/console/login"))
    for method in ("GET", "POST"):
        for endpoint, address in routes(evening, method):
            if endpoint.startswith("console.") and endpoint != "console.login":
                answer = client.open(address, method=method, data={"token": token})
                assert (answer.status_code, answer.headers["Location"]) == (303, "/console/login"), address
    assert "Poet" not in client.get("/console").text
    assert client.get("/api/v1/state").json["phase"] == "voting"


def test_too_many_wrong_passwords_lock_the_login_for_a_while(evening: Evening) -> None:
    client = evening.phone()

    def log_in(password: str) -> TestResponse:
        return post(client, "/console/login", "/console/login", password=password)

    for _ in range(LOGIN_TRIES):
        assert log_in("guess").status_code == 403
    locked = log_in(evening.settings.console_password)
    assert locked.status_code == 429 and 0 < int(locked.headers["Retry-After"]) <= LOGIN_WINDOW + 1
    evening.now += LOGIN_WINDOW + 1
    assert log_in(evening.settings.console_password).status_code == 303
    assert client.get("/console").status_code == 200


def test_logging_out_ends_the_session_and_a_login_makes_a_new_one(evening: Evening) -> None:
    client = evening.phone()
    client.get("/console/login")
    before = client.get_cookie("console", path="/console")
    post(client, "/console/login", "/console/login", password=evening.settings.console_password)
    inside = client.get_cookie("console", path="/console")
    assert before and inside and before.value != inside.value
    post(client, "/console", "/console/logout")
    assert client.get("/console").status_code == 303


def test_a_changed_password_logs_everybody_out(evening: Evening) -> None:
    client = evening.organizer()
    cookie = client.get_cookie("console", path="/console")
    assert cookie
    object.__setattr__(evening.settings, "console_password", "another-password-xyz")
    assert client.get("/console").status_code == 303


def test_markup_and_escapes_in_names_and_verses_stay_text(evening: Evening) -> None:
    evening.authors(1)
    evening.author(EVIL_NAME, 20)
    evening.verify_all()
    events.close_submissions(evening.db, now=evening.now)
    bracket.draw_bracket(evening.db, word=WORD, now=evening.now)
    bracket.open_match(evening.db, "r1m1", seconds=10, now=evening.now)
    vote(evening.phone(), "left")
    bracket.close_match(evening.db, "r1m1", poll_round=0, now=evening.now)
    evening.now += 60
    shown = 0
    for client, address in ((evening.phone(), "/"), (evening.phone(), "/results"), (evening.phone(), "/stage")):
        page = client.get(address)
        shown += EVIL_NAME in Tags(page.text).text
        assert not [tag for tag, _ in Tags(page.text).tags if tag == "img"], address
    assert EVIL_NAME in Tags(evening.organizer().get("/console").text).text
    assert shown


def test_no_template_holds_inline_script_or_style(evening: Evening) -> None:
    evening.voting()
    for client in (evening.phone(), evening.organizer()):
        for _, address in routes(evening, "GET"):
            answer = client.get(address)
            if answer.mimetype != "text/html":
                continue
            for tag, attributes in Tags(answer.text).tags:
                assert tag != "style" and "style" not in attributes, address
                assert not [name for name in attributes if name.startswith("on")], address
                assert tag != "script" or attributes["src"].startswith("/static/"), address
                for name in ("src", "href", "action"):
                    link = attributes.get(name) or "/"
                    own = link.startswith(("/", "#", evening.settings.base_url, "http://127.0.0.1"))
                    assert own and not link.startswith("//"), (address, link)


def test_no_template_switches_escaping_off() -> None:
    for path in TEMPLATES.iterdir():
        assert "|safe" not in path.read_text(encoding="utf-8").replace(" ", ""), path.name


def test_pages_are_not_kept_and_static_files_are(evening: Evening) -> None:
    page = evening.phone().get("/")
    assert page.headers["Cache-Control"] == "no-store"
    addresses = re.findall(r'(/static/[^"]+)', page.text)
    assert len(addresses) >= 3
    for address in addresses:
        assert "immutable" in evening.phone().get(address).headers["Cache-Control"]
    assert "immutable" not in evening.phone().get("/static/arena.css").headers["Cache-Control"]


def test_an_internal_error_reveals_nothing_of_its_cause(evening: Evening) -> None:
    def broken_clock() -> float:
        raise RuntimeError("the secret path /home/ada")

    app = evening.make_app(clock=broken_clock)
    app.testing = False
    answer = app.test_client().get("/enter")
    assert answer.status_code == 500
    assert "ada" not in answer.text and "Try again" in answer.text
    check_headers(answer, "500")
