"""Security of every route: headers, cookies, form tokens, access to the console, Host header, escaping."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from itsdangerous import URLSafeSerializer
from werkzeug.test import TestResponse

from arena.services import bracket, drawing, events
from arena.settings import replace_console_password
from arena.web.cookies import console_cookie, read_voter
from tests.support.bundles import header_of, verse
from tests.support.evening import WORD, Evening
from tests.support.pages import Tags, post, token_of, vote

EVIL_NAME = "<img src=x onerror=alert(1)>\"'&{{7*7}}"
TEMPLATES = Path(__file__).resolve().parents[2] / "arena" / "web" / "templates"


@pytest.fixture
def evening(tmp_path: Path) -> Evening:
    return Evening(tmp_path / "event").create()


def routes(evening: Evening, method: str) -> Iterator[tuple[str, str, list[FlaskClient]]]:
    """Endpoint and an address of every route that takes a method, and browsers at the port that has it."""
    fills = {"secret": "A" * 24, "entry_id": "0" * 32, "match_id": "r1m1", "name": "arena.css", "project": "numpy"}
    at_console = [evening.visitor(), evening.organizer()]
    for app, clients in ((evening.app, [evening.phone()]), (evening.console, at_console)):
        for rule in app.url_map.iter_rules():
            if method in rule.methods:
                address = re.sub(r"<(?:\w+:)?(\w+)>", lambda found: fills[found[1]], rule.rule)
                yield rule.endpoint, address, clients


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
        for _, address, clients in routes(evening, method):
            for client in clients:
                check_headers(client.open(address, method=method), address)
                seen += 1
    assert seen > 40
    check_headers(evening.phone().get("/no-such-page"), "404")
    check_headers(evening.phone().put("/vote"), "405")


def test_every_post_without_a_token_is_refused(evening: Evening) -> None:
    evening.voting()
    refused = 0
    for endpoint, address, clients in routes(evening, "POST"):
        if endpoint.startswith("api."):
            continue
        for client in clients:
            client.get("/")
            for data in (
                {},
                {"token": "x"},
                {"token": URLSafeSerializer("guess", salt="verse-form-1").dumps(["", ""])},
            ):
                answer = client.post(address, data=data)
                assert (answer.status_code, "not made for this browser" in answer.text) == (403, True), address
                refused += 1
    assert refused >= 3 * 28


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
        "é",
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
    console = plain.visitor().get("/console/login").headers["Set-Cookie"]
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


def test_the_public_port_never_serves_the_console_whatever_host_is_asked_for(evening: Evening) -> None:
    for host in ("127.0.0.1", "127.0.0.1:8001", "localhost", "verses.example.org"):
        for path in ("/console", "/console/", "/console/login", "/console/draw", "/console/nothing"):
            for method in ("GET", "POST"):
                answer = evening.phone().open(path, method=method, headers={"Host": host})
                assert answer.status_code in (404, 405), (host, path)
                assert "Password" not in answer.text and "console-" not in str(answer.headers), (host, path)
        shown = evening.phone().get("/console", headers={"Host": host})
        assert (shown.status_code, "http://127.0.0.1:8001/console" in shown.text) == (404, True)
    endpoints = {rule.endpoint.partition(".")[0] for rule in evening.app.url_map.iter_rules()}
    assert endpoints == {
        "public",
        "downloads",
        "heats",
        "join",
        "api",
        "race",
        "reactions",
        "stage",
        "static",
        "wheels",
    }


def test_the_console_answers_this_machine_only(evening: Evening) -> None:
    for peer in ("192.168.1.9", "10.0.0.1", "fe80::1"):
        answer = evening.visitor().get("/console/login", environ_base={"REMOTE_ADDR": peer})
        assert answer.status_code == 403 and "organizer" in answer.text
    for header in ("X-Forwarded-For", "Forwarded", "Via", "X-Real-IP"):
        assert evening.visitor().get("/console/login", headers={header: "1.2.3.4"}).status_code == 403, header
    for host in ("verses.example.org", "127.0.0.1.example.org", "evil.example:8001", "[::2]:8001"):
        assert evening.visitor().get("/console/login", headers={"Host": host}).status_code == 403, host
    for host in ("127.0.0.1:8001", "localhost:9000", "[::1]:8001", "localhost"):
        assert evening.visitor().get("/console/login", headers={"Host": host}).status_code == 200, host


def test_in_a_container_the_console_answers_the_address_it_was_told_to_listen_on(tmp_path: Path) -> None:
    evening = Evening(tmp_path / "event", console_host="0.0.0.0").create()
    from_bridge = {"REMOTE_ADDR": "172.17.0.1"}
    answer = evening.visitor().get("/console/login", headers={"Host": "127.0.0.1:8001"}, environ_base=from_bridge)
    assert answer.status_code == 200
    evening_of_lan = Evening(tmp_path / "lan", console_host="192.168.1.5").create()
    named = evening_of_lan.settings.console_url
    assert named == "http://192.168.1.5:8001/console"
    at_lan = evening_of_lan.visitor().get("/console/login", base_url=named.removesuffix("/console"))
    assert at_lan.status_code == 200
    answer = evening.visitor().get("/console/login", headers={"Host": "evil.example"}, environ_base=from_bridge)
    assert answer.status_code == 403, "a page of another site could still ask under its own name"


def test_the_console_answers_through_a_proxy_only_when_configured_to(tmp_path: Path) -> None:
    evening = Evening(tmp_path / "event", public_url="https://verses.example.org").create()
    evening.console = evening.make_console(remote=True)
    answer = evening.visitor().get(
        "/console/login", headers={"Host": "verses.example.org"}, environ_base={"REMOTE_ADDR": "192.168.1.9"}
    )
    assert answer.status_code == 200
    assert "Secure" in answer.headers["Set-Cookie"]


def test_every_page_of_the_console_requires_the_password(evening: Evening) -> None:
    evening.voting()
    client = evening.visitor()
    token = token_of(client.get("/console/login"))
    for method in ("GET", "POST"):
        for endpoint, address, _ in routes(evening, method):
            if endpoint.startswith("console.") and endpoint != "console.login":
                answer = client.open(address, method=method, data={"token": token})
                assert (answer.status_code, answer.headers["Location"]) == (303, "/console/login"), address
    assert "Poet" not in client.get("/console").text


def test_no_number_of_wrong_passwords_keeps_the_right_one_out(evening: Evening) -> None:
    client = evening.visitor()
    token = token_of(client.get("/console/login"))
    for _ in range(200):
        wrong = client.post("/console/login", data={"token": token, "password": "guess"})
        assert (wrong.status_code, "This password is wrong" in wrong.text) == (403, True)
    right = client.post("/console/login", data={"token": token, "password": evening.settings.console_password})
    assert right.status_code == 303
    assert client.get("/console").status_code == 200


def test_a_cookie_from_before_the_logout_never_opens_the_console_again(evening: Evening) -> None:
    client, other = evening.organizer(), evening.organizer()
    before = client.get_cookie(console_cookie(evening.settings), path="/console")
    assert before and other.get("/console").status_code == 200
    post(client, "/console", "/console/logout")
    assert client.get("/console").status_code == 303
    assert other.get("/console").status_code == 303, "logging out ends the sessions of every browser"

    def opens(value: str) -> bool:
        thief = evening.visitor()
        thief.set_cookie(console_cookie(evening.settings), value, path="/console")
        return bool(thief.get("/console").status_code == 200)

    assert not opens(before.value)
    inside = evening.organizer().get_cookie(console_cookie(evening.settings), path="/console")
    evening.console = evening.make_console()  # as after a restart of the server
    assert inside and opens(inside.value), "a restart ends no session"
    assert not opens(before.value), "and revives none"


def test_the_consoles_of_two_events_at_two_ports_of_a_computer_share_no_cookie(
    evening: Evening, tmp_path: Path
) -> None:
    other = Evening(tmp_path / "other").create()
    organizer = evening.organizer()
    mine = organizer.get_cookie(console_cookie(evening.settings), path="/console")
    browser = other.visitor()
    assert mine is not None
    browser.set_cookie(console_cookie(evening.settings), mine.value, path="/console")  # it sends both to both
    assert (
        post(browser, "/console/login", "/console/login", password=other.settings.console_password).status_code == 303
    )
    kept = browser.get_cookie(console_cookie(evening.settings), path="/console")
    assert kept is not None and kept.value == mine.value, "the other event's login stays"
    other.end()


def test_a_login_begins_a_session_of_its_own(evening: Evening) -> None:
    client = evening.visitor()
    client.get("/console/login")
    before = client.get_cookie(console_cookie(evening.settings), path="/console")
    post(client, "/console/login", "/console/login", password=evening.settings.console_password)
    inside = client.get_cookie(console_cookie(evening.settings), path="/console")
    assert before and inside and before.value != inside.value


def test_a_changed_password_logs_everybody_out(evening: Evening) -> None:
    client = evening.organizer()
    cookie = client.get_cookie(console_cookie(evening.settings), path="/console")
    assert cookie
    replace_console_password(evening.folder)
    assert client.get("/console").status_code == 303


def test_markup_and_escapes_in_names_and_verses_stay_text(evening: Evening) -> None:
    evening.authors(1)
    evening.author(EVIL_NAME, 20)
    evening.verify_all()
    events.close_submissions(evening.db, now=evening.now)
    drawing.draw_bracket(evening.db, word=WORD, now=evening.now)
    bracket.open_match(evening.db, "r1m1", seconds=10, now=evening.now)
    vote(evening.phone(), "left")
    bracket.close_match(evening.db, "r1m1", poll_round=0, now=evening.now)
    evening.now += 60
    shown = 0
    for client, address in ((evening.phone(), "/"), (evening.phone(), "/results"), (evening.phone(), "/stage")):
        page = client.get(address)
        shown += EVIL_NAME in Tags(page.text).text
        pictures = [attributes.get("src") or "" for tag, attributes in Tags(page.text).tags if tag == "img"]
        assert all(source.startswith("/results/bracket.svg") for source in pictures), address
    assert EVIL_NAME in Tags(evening.organizer().get("/console").text).text
    assert shown


def test_no_template_holds_inline_script_or_style(evening: Evening) -> None:
    evening.voting()
    for _, address, clients in routes(evening, "GET"):
        for client in clients:
            answer = client.get(address)
            if answer.mimetype != "text/html":
                continue
            for tag, attributes in Tags(answer.text).tags:
                assert tag != "style" and "style" not in attributes, address
                assert not [name for name in attributes if name.startswith("on")], address
                assert tag != "script" or attributes["src"].startswith("/static/"), address
                for name in ("src", "href", "action"):
                    link = attributes.get(name) or "/"
                    own = link.startswith(("/", "#", "?", evening.settings.base_url, "http://127.0.0.1"))
                    assert own and not link.startswith("//"), (address, link)


def test_no_template_switches_escaping_off() -> None:
    for path in (path for path in TEMPLATES.rglob("*") if path.is_file()):
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


def test_a_cookie_header_of_any_bytes_is_no_cookie(evening: Evening) -> None:
    for value in (b"t=\xf7", b"\xff\xfe", b't="\\377"; console=\xf7', b"=;=;="):
        header = {"Cookie": value.decode("latin-1")}
        assert evening.phone().get("/", headers=header).status_code == 200
        assert evening.visitor().get("/console/login", headers=header).status_code == 200
        assert read_voter(evening.settings, header["Cookie"]) is None
