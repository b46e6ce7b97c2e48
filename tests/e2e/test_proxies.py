"""The proxies of the README, with the configuration that stands there, in front of a real server and a dead one."""

from __future__ import annotations

import contextlib
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest

from arena.demo.simulated_voters import SimulatedVoter
from arena.services.receipts import public_key_of
from arena.services.voters import set_admission
from arena.web.routes import EVENTS
from tests.support.bundles import verses
from tests.support.evening import Evening, secret_of
from tests.support.pages import hidden
from tests.support.server import Process, Wire, ask, unused_port, within
from trainer.submission.event import fetch_event
from trainer.submission.http_client import Address, EventClient
from trainer.submission.upload import send_bundle

README = (Path(__file__).resolve().parents[2] / "README.md").read_text("utf-8")
AT_LAST = 120.0
NGINX = """
daemon off; master_process off; pid {folder}/pid; error_log {folder}/errors; events {{ }}
http {{
    access_log off;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    {site}
}}
"""
CADDY = "{{\n admin off\n auto_https off\n storage file_system {folder}\n}}\n{site}"
pytestmark = pytest.mark.slow


ONE_EVENT = ("10.0.0.11:8000", "10.0.0.12:8000")  # its hosts, in the examples
SEVERAL_EVENTS = ("127.0.0.1:8000", "127.0.0.1:8100")


def site(language: str, names: tuple[str, ...], hosts: list[int], port: int) -> str:
    """The example of the README with these hosts, with addresses of this machine."""
    examples = re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    (text,) = [example for example in examples if names[0] in example]
    for name, host in zip(names, hosts, strict=True):
        assert name in text
        text = text.replace(name, f"127.0.0.1:{host}")
    text = text.replace("listen 443 ssl;", f"listen 127.0.0.1:{port};")
    return text.replace("verses.example.org {", f"http://127.0.0.1:{port} {{\n bind 127.0.0.1")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Evening]:
    served = Evening(tmp_path_factory.mktemp("proxied") / "event", now=None, trusted_proxies="127.0.0.1").create()
    set_admission(served.db, "pin", now=served.now)
    served.open()
    served.serve()
    yield served
    served.end()


@pytest.fixture(params=["nginx", "caddy"])
def proxy(request: pytest.FixtureRequest, served: Evening, tmp_path: Path) -> Iterator[int]:
    """The port of a proxy whose second host has died."""
    with running(request.param, ONE_EVENT, [served.port, unused_port()], tmp_path) as port:
        yield port


@contextlib.contextmanager
def running(name: str, names: tuple[str, ...], hosts: list[int], tmp_path: Path) -> Iterator[int]:
    """Run a proxy with an example of the README; its port."""
    program = shutil.which(name, path="/usr/sbin:/usr/bin") or shutil.which(name)
    if program is None:
        pytest.skip(f"{name} is not installed: apt-get install {name}")
    port, config = unused_port(), tmp_path / "config"
    template, language = (NGINX, "nginx") if name == "nginx" else (CADDY, "caddyfile")
    config.write_text(template.format(folder=tmp_path, site=site(language, names, hosts, port)))
    if name == "nginx":
        test = [program, "-t", "-p", str(tmp_path), "-c", str(config), "-e", str(tmp_path / "errors")]
        line = [word for word in test if word != "-t"]
    else:
        test = [program, "validate", "--config", str(config), "--adapter", "caddyfile"]
        line = [program, "run", *test[2:]]
    checked = subprocess.run(test, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr
    process = Process(line, {"HOME": str(tmp_path)})
    try:
        assert within(AT_LAST, lambda: _listens(port)), process.output
        yield port
    finally:
        process.end()


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def form(port: int) -> tuple[str, str]:
    """A new phone's cookie, and the token of its form."""
    phone = SimulatedVoter(f"http://127.0.0.1:{port}")
    token = hidden(phone.get("/join"), "token")
    return "; ".join(f"{cookie.name}={cookie.value}" for cookie in phone.cookies), token


def test_pages_events_uploads_and_addresses_go_through_it(served: Evening, proxy: int, tmp_path: Path) -> None:
    assert [ask(proxy, "GET /results")[0] for _ in range(6)] == [200] * 6, "a dead host is passed over"
    wire = Wire(proxy, timeout=AT_LAST)
    wire.send(f"GET {EVENTS.path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
    heard = b""
    while b"event: state" not in heard:
        heard += wire.socket.recv(65_536)

    number = len(list(served.folder.parent.glob("*.verse")))
    path = served.folder.parent / f"{number}.verse"
    path.write_bytes(verses(2)[number])
    client = EventClient(Address.parse(f"http://127.0.0.1:{proxy}"), secret_of(f"poet{number}"))
    send_bundle(path, client, f"poet{number}", fetch_event(client))
    client.close()
    before, heard = heard, b""
    while b"event: state" not in heard:  # the entry's, at once and not when a buffer is full
        heard += wire.socket.recv(65_536)
    assert before != heard
    wire.close()

    cookie, _ = form(proxy)
    head = f"POST /enter\nCookie: {cookie}\nContent-Type: application/x-www-form-urlencoded"
    assert ask(proxy, head, b"token=x&" + b"x" * 3_000_000)[0] == 403 and _reached(served)

    cookie, token = form(proxy)
    body = urlencode({"token": token, "code": "000000"}).encode()
    head = f"POST /join\nCookie: {cookie}\nContent-Type: application/x-www-form-urlencoded"
    statuses = [ask(proxy, f"{head}\nX-Forwarded-For: 203.0.113.{n}", body)[0] for n in range(32)]
    assert statuses[-1] == 429, "what a client says of itself does not count"


def _reached(served: Evening) -> bool:
    """Whether the arena itself has refused the large form."""
    assert served.server is not None
    metrics = ask(served.server.console_port, "GET /metrics")[2].decode()
    return 'kind="bundle",status="403"' in metrics or 'kind="refused",status="403"' in metrics


def test_two_events_are_served_under_their_paths(tmp_path: Path) -> None:
    events = []
    try:
        for name in ("spring", "summer"):
            event = Evening(tmp_path / name, now=None, public_url=f"https://verses.example.org/e/{name}").begin()
            event.serve()
            events.append(event)
        with running("caddy", SEVERAL_EVENTS, [event.port for event in events], tmp_path) as port:
            for event in events:
                path = event.settings.path
                client = EventClient(Address.parse(f"http://127.0.0.1:{port}{path}/join"))
                assert fetch_event(client).receipt_key == public_key_of(event.key)
                client.close()
                phone = SimulatedVoter(f"http://127.0.0.1:{port}{path}")
                style = re.search(rf'href="{path}(/static/arena.css[^"]+)"', phone.get("/"))
                assert style and "{" in phone.get(style[1])
                assert {cookie.path for cookie in phone.cookies} == {path}
    finally:
        for event in events:
            event.end()
