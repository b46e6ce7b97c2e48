"""The command `trainer submit --to` against a real server: interruptions, refusals and wrong addresses."""

from __future__ import annotations

import gc
import json
import os
import socket
import stat
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import psutil
import pytest
from click.testing import CliRunner

from arena.services import entries
from arena.services.receipts import public_key_of
from arena.services.schemas import EventRules
from tests.support.bundles import RECIPE, Poet, large_verse
from tests.support.evening import Evening
from tests.support.server import CuttingProxy
from tests.support.small_models import is_decided, small_checkpoint
from trainer.checkpoint import write_checkpoint
from trainer.cli import cli
from trainer.errors import EventRefused, SubmitError, TicketError, UploadError
from trainer.signatures import is_signed_receipt
from trainer.submission.credentials import secret_for
from trainer.submission.event import fetch_event
from trainer.submission.http_client import Address, EventClient
from trainer.submission.upload import SubmittedEntry, receipt_path, send_bundle, wait_for_verdict
from trainer.verse.bundle_file import read_claim

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def own_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path / "config"


def kept_secret(url: str) -> str:
    """The secret that the trainer keeps for the event at an address."""
    client = EventClient(Address.parse(url))
    try:
        return secret_for(fetch_event(client).receipt_key)
    finally:
        client.close()


def bundle(folder: Path, number: int) -> Path:
    path = folder / f"{number}.verse"
    path.write_bytes(large_verse(number))
    return path


def enter(path: Path, url: str, name: str = "Ada", notes: list[str] | None = None) -> SubmittedEntry:
    address = Address.parse(url)
    client = EventClient(address, kept_secret(address.url), say=(notes if notes is not None else []).append)
    try:
        return send_bundle(path, client, name, fetch_event(client))
    finally:
        client.close()


def open_connections(port: int) -> list[object]:
    """Those of this process to a port of this machine."""
    return [
        connection
        for connection in psutil.Process().net_connections()
        if connection.raddr and connection.raddr.port == port and connection.status == psutil.CONN_ESTABLISHED
    ]


def verdict(entry: SubmittedEntry, url: str) -> str:
    address = Address.parse(url)
    client = EventClient(address, kept_secret(address.url))
    pause = threading.Event()
    try:
        return wait_for_verdict(entry.id, client, wait=lambda _: pause.wait(0.05), say=lambda line: None)
    finally:
        client.close()


def test_a_verse_enters_is_verified_and_its_receipt_is_signed_by_the_event(served: Evening, tmp_path: Path) -> None:
    path = bundle(tmp_path, 1)
    entry = enter(path, served.url + "/enter")
    assert entry.receipt == receipt_path(path) == tmp_path / "1.receipt.json"
    kept = json.loads(entry.receipt.read_text())
    assert kept["receipt_key"] == public_key_of(served.settings.receipt_key) and is_signed_receipt(
        kept["receipt_key"], kept
    )
    secret = kept_secret(served.url)
    assert secret not in entry.receipt.read_text()  # it may be shown to anybody
    assert entry.link == f"{served.url}/mine/{secret}"
    assert verdict(entry, served.url).startswith("PASS")


def test_a_connection_cut_again_and_again_loses_nothing_and_sends_nothing_twice(
    served: Evening, tmp_path: Path
) -> None:
    proxy = CuttingProxy(served.port, after=700_000, times=4)  # less than a piece
    try:
        path = bundle(tmp_path, 2)
        entry = enter(path, f"http://127.0.0.1:{proxy.port}")
        assert proxy.left == 0
        status = entries.entry_status(served.db, entry.id, kept_secret(served.url), now=0.0)
        assert (status.received, status.size) == (path.stat().st_size,) * 2
        assert verdict(entry, f"http://127.0.0.1:{proxy.port}").startswith("PASS")
    finally:
        proxy.end()


def test_an_upload_that_stopped_half_way_resumes_from_there(served: Evening, tmp_path: Path) -> None:
    path = bundle(tmp_path, 3)
    address = Address.parse(served.url)
    secret = kept_secret(address.url)
    data = path.read_bytes()
    header = data[: 8 + int.from_bytes(data[:8], "little")]
    client = EventClient(address, secret)
    claim = client.request("POST", "/api/v1/entries?name=Ada", header).data
    start = claim["offset"]
    at = {"Upload-Offset": str(start)}
    client.request("PATCH", f"/api/v1/entries/{claim['entry']}", data[start : start + 500_000], at)
    sent: list[int] = []

    class Counting(EventClient):
        def request(self, method, path, body=b"", headers=None):  # type: ignore[no-untyped-def]
            if method == "PATCH":
                sent.append(len(body))
            return super().request(method, path, body, headers)

    counting = Counting(address, secret)
    send_bundle(path, counting, "Ada", fetch_event(counting))
    assert sum(sent) == len(data) - start - 500_000
    counting.close()
    client.close()


def test_the_same_bundle_sent_again_is_the_same_entry(served: Evening, tmp_path: Path) -> None:
    path = bundle(tmp_path, 4)
    first = enter(path, served.url)
    receipt = first.receipt.read_bytes()
    assert enter(path, served.url) == first
    assert first.receipt.read_bytes() == receipt
    secret = kept_secret(served.url)
    assert len([one for one in entries.entries_of(served.db, secret, now=0.0) if one.entry == first.id]) == 1


def test_a_name_with_markup_is_a_name_and_one_with_escapes_is_refused_in_plain_words(
    served: Evening, tmp_path: Path
) -> None:
    name = "<b>Ada</b> & \"Co\" 'ß'"
    entry = enter(bundle(tmp_path, 5), served.url, name)
    secret = kept_secret(served.url)
    assert entries.entry_status(served.db, entry.id, secret, now=0.0).name == name
    with pytest.raises(EventRefused) as refused:
        enter(bundle(tmp_path, 6), served.url, "\x1b[31mred")
    assert refused.value.code == "bad-name"
    assert "\x1b" not in str(refused.value)


def test_a_closed_event_refuses_in_one_line_and_the_bundle_stays(served: Evening, tmp_path: Path) -> None:
    path = bundle(tmp_path, 7)
    served.close()
    try:
        with pytest.raises(EventRefused, match="Submissions are closed") as refused:
            enter(path, served.url)
    finally:
        served.open()
    assert refused.value.code == "closed"
    assert path.exists() and not receipt_path(path).exists()


def test_a_refused_submission_leaves_no_connection_open(
    served: Evening, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_checkpoint(tmp_path / "a.safetensors", small_checkpoint())
    command = ["submit", "--ckpt", "a.safetensors", "--prompt", "AB", "--tokens", "40"]
    served.close()
    try:
        result = CliRunner().invoke(cli, [*command, "--to", served.url, "--name", "Ada"])
    finally:
        served.open()
    assert isinstance(result.exception, EventRefused)  # it refers to the command's client
    assert open_connections(served.port) == []


def test_a_client_that_was_cut_off_once_leaves_no_connection_open(served: Evening) -> None:
    proxy = CuttingProxy(served.port, after=0, times=1)
    client = EventClient(Address.parse(f"http://127.0.0.1:{proxy.port}"))
    gc.disable()  # the error of the first try refers to itself: it lives on until the collector comes
    try:
        assert client.request("GET", "/api/v1/state").status == 200
        assert proxy.left == 0
        client.close()
        assert open_connections(proxy.port) == []
    finally:
        gc.enable()
        proxy.end()


def test_a_forged_verse_comes_back_with_its_verdict_and_the_reason(served: Evening, tmp_path: Path) -> None:
    poet = Poet.random(1)
    honest = poet.write(replace(RECIPE, lines=8))
    other = next(
        written
        for written in (poet.write(replace(honest.recipe, seed=seed)) for seed in range(100, 200))
        if is_decided(written) and written.ids != honest.ids
    )
    path = tmp_path / "forged.verse"
    path.write_bytes(poet.pack(replace(other, recipe=honest.recipe)))  # another seed's verse under this seed's name
    with pytest.raises(EventRefused, match=r"^FAIL: the server wrote another verse") as refused:
        verdict(enter(path, served.url), served.url)
    assert refused.value.code == "refused"


@pytest.mark.parametrize(
    "url", ["127.0.0.1:8000", "ftp://host", "http://", "http://host:port", "http://a b/", "http://a..b:80", ""]
)
def test_a_malformed_address_is_refused_before_anything_is_sent(url: str) -> None:
    with pytest.raises(UploadError, match="it must look like http"):
        Address.parse(url)


def test_an_address_where_no_server_listens_is_reported_soon(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
    waited: list[float] = []
    client = EventClient(Address.parse(f"http://127.0.0.1:{port}"), "s" * 22, wait=waited.append)
    with pytest.raises(UploadError, match=r"does not respond \(Connection refused\): check the address"):
        client.request("GET", "/api/v1/state")
    assert 4 < sum(waited) < 25


class ScriptedServer:
    """A web server that answers as it is told, one answer after another, the last again and again."""

    def __init__(self, *answers: tuple[int, dict[str, str], bytes]) -> None:
        left = list(answers)

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, headers, body = left.pop(0) if len(left) > 1 else left[0]
                self.send_response(status)
                for key, value in {**headers, "Content-Length": str(len(body))}.items():
                    self.send_header(key, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True)

    def __enter__(self) -> str:
        self.thread.start()
        return f"http://127.0.0.1:{self.server.server_port}"

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


def test_a_web_server_that_is_no_arena_is_recognized() -> None:
    page = (404, {}, b"<h1>Not found</h1>")
    with ScriptedServer(page) as url, pytest.raises(UploadError, match="is not a verse arena"):
        EventClient(Address.parse(url), "s" * 22).request("GET", "/api/v1/state")


def test_an_address_that_has_moved_is_named() -> None:
    with (
        ScriptedServer((301, {"Location": "https://verses.example.org/"}, b"")) as url,
        pytest.raises(UploadError, match=r"use that address with --to") as moved,
    ):
        EventClient(Address.parse(url), "s" * 22).request("GET", "/api/v1/state")
    assert "redirects to https://verses.example.org:" in str(moved.value)


def test_a_busy_server_is_asked_again_when_it_says(tmp_path: Path) -> None:
    waited: list[float] = []
    answers = [
        (503, {"Retry-After": "7"}, b'{"message": "busy"}'),
        (502, {"Retry-After": "\xb2"}, b"tunnel"),  # a digit, as Unicode has it, but no number
        (200, {}, b"{}"),
    ]
    with ScriptedServer(*answers) as url:
        client = EventClient(Address.parse(url), "s" * 22, wait=waited.append)
        assert client.request("GET", "/api/v1/state").status == 200
        client.close()
    assert waited[0] == 7
    assert waited[1] < 2


def test_an_owner_has_one_secret_per_event_that_others_cannot_read(own_config: Path, tmp_path: Path) -> None:
    first, second = secret_for("http://a:1"), secret_for("http://b:1")
    assert (first, second) == (secret_for("http://a:1"), secret_for("http://b:1"))
    assert first != second
    assert len(first) == 22
    files = [path for path in own_config.rglob("*") if path.is_file()]
    assert len(files) == 2
    if os.name == "posix":
        assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}


def test_a_ticket_file_is_read_and_one_without_a_secret_refused(tmp_path: Path) -> None:
    ticket = tmp_path / "ticket"
    ticket.write_text("  " + "t" * 22 + "\n")
    assert secret_for("http://a:1", ticket) == "t" * 22
    for text in ("short", "two words which are longer", "é" * 22, "t" * 65, ""):
        ticket.write_text(text, encoding="utf-8")
        with pytest.raises(TicketError, match="does not hold a secret"):
            secret_for("http://a:1", ticket)


def test_a_ticket_file_that_is_missing_is_made_and_read_again(tmp_path: Path) -> None:
    made = secret_for("http://a:1", tmp_path / "ticket")
    assert len(made) == 22 and secret_for("http://b:1", tmp_path / "ticket") == made
    if os.name == "posix":
        assert stat.S_IMODE((tmp_path / "ticket").stat().st_mode) == 0o600


def test_the_command_enters_what_it_wrote_and_says_how_it_went(
    served: Evening, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_checkpoint(tmp_path / "a.safetensors", small_checkpoint())
    command = ["submit", "--ckpt", "a.safetensors", "--prompt", "AB", "--tokens", "40"]
    result = CliRunner().invoke(cli, [*command, "--to", served.url, "--name", "Ada"])
    assert result.exit_code == 0, (result.output, result.exception)
    assert "the receipt, signed by the event, is submissions/" in result.output
    assert f"{served.url}/mine/" in result.output
    assert result.output.splitlines()[-1].startswith("PASS: ")
    assert len(list((tmp_path / "submissions").iterdir())) == 2
    assert CliRunner().invoke(cli, [*command, "--to", served.url]).exit_code == 2
    assert CliRunner().invoke(cli, [*command, "--no-wait"]).exit_code == 2


@pytest.fixture(scope="module")
def generous(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Evening]:
    """A served event that takes longer verses than the usual ones, of fewer lines."""
    folder = tmp_path_factory.mktemp("generous") / "event"
    generous = Evening(folder, now=None).begin(EventRules(lines=5, characters=1_000))
    generous.serve()
    yield generous
    generous.end()


def test_the_limits_of_the_event_count_and_not_the_usual_ones(
    generous: Evening, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_checkpoint(tmp_path / "a.safetensors", small_checkpoint("AB"))  # no line feed: a verse of one line
    command = ["submit", "--ckpt", "a.safetensors", "--prompt", "AB", "--tokens", "700"]
    refused = CliRunner().invoke(cli, command)
    assert isinstance(refused.exception, SubmitError)
    assert "700 characters, and at most 480" in str(refused.exception)
    result = CliRunner().invoke(cli, [*command, "--to", generous.url, "--name", "Ada"])
    assert result.exit_code == 0, (result.output, result.exception)
    assert "the corpus of this event is folio; this model was trained on another text" in result.output
    assert result.output.splitlines()[-1].startswith("PASS: ")


def test_submit_and_audition_write_no_more_lines_than_the_event_allows(
    generous: Evening, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_checkpoint(tmp_path / "a.safetensors", small_checkpoint("AB \n", head=0.0))
    command = ["submit", "--ckpt", "a.safetensors", "--prompt", "AB", "--seed", "3"]
    result = CliRunner().invoke(cli, [*command, "--to", generous.url, "--name", "Bea", "--out", "a.verse"])
    assert result.exit_code == 0, (result.output, result.exception)
    assert len([line for line in read_claim(tmp_path / "a.verse").text.split("\n") if line.strip()]) == 5
    words = ["audition", "--ckpt", "a.safetensors", "--prompt", "AB", "--count", "4", "--to", generous.url]
    audition = CliRunner().invoke(cli, words)
    assert audition.exit_code == 0, (audition.output, audition.exception)
    assert "--lines 5" in audition.output


def test_a_receipt_that_the_event_did_not_sign_is_refused_and_not_kept(served: Evening, tmp_path: Path) -> None:
    path = bundle(tmp_path, 9)
    address = Address.parse(served.url)
    client = EventClient(address, kept_secret(address.url))
    impostor = replace(fetch_event(client), receipt_key=public_key_of("22" * 32))
    with pytest.raises(UploadError, match="does not have the event's signature"):
        send_bundle(path, client, "Ada", impostor)
    client.close()
    assert not receipt_path(path).exists()


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b'{"name": 1, "limits": {}, "corpus": {}}',
        b'{"name": "a", "limits": {"lines": 0, "characters": 1, "piece_bytes": 1}, "corpus": {"name": "a"}}',
    ],
)
def test_a_server_that_does_not_describe_an_event_is_refused_in_plain_words(body: bytes) -> None:
    with ScriptedServer((200, {}, body)) as url, pytest.raises(UploadError, match="is not one of a verse arena"):
        fetch_event(EventClient(Address.parse(url)))
