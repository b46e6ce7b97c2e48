"""An event proves that its key is its own, before it gets a secret that was kept for it."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from click.testing import CliRunner

from arena.services import queries
from tests.support.evening import Evening
from tests.support.server import ask
from tests.support.small_models import small_checkpoint
from trainer.checkpoint import write_checkpoint
from trainer.cli import cli
from trainer.errors import UploadError
from trainer.signatures import is_signed_challenge
from trainer.submission.event import fetch_event
from trainer.submission.http_client import Address, EventClient

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)
    write_checkpoint(tmp_path / "a.safetensors", small_checkpoint("AB"))


def submit(url: str) -> list[str]:
    words = ["submit", "--ckpt", "a.safetensors", "--prompt", "AB", "--tokens", "40", "--no-wait"]
    return [*words, "--to", url, "--name", "Ada"]


def test_an_event_is_the_same_at_every_address_and_its_owner_too(served: Evening) -> None:
    first = CliRunner().invoke(cli, submit(served.url))
    assert first.exit_code == 0, (first.output, first.exception)
    assert "that you know from" not in first.output
    other = f"http://localhost:{served.port}"
    second = CliRunner().invoke(cli, submit(other))
    assert second.exit_code == 0, (second.output, second.exception)
    assert f"This is the event that you know from {served.url}; your secret is the same." in second.output
    third = CliRunner().invoke(cli, submit(other))
    assert "that you know from" not in third.output, "it is said once"
    assert len({entry.owner for entry in queries.list_entries(served.db)}) == 1


def test_a_server_that_shows_another_events_key_gets_no_secret(served: Evening) -> None:
    assert CliRunner().invoke(cli, submit(served.url)).exit_code == 0  # now a secret is kept for the event
    old = "ab" * 32
    copied = json.loads(ask(served.port, f"GET /api/v1/event?challenge={old}")[2])
    assert is_signed_challenge(copied["receipt_key"], old, copied["proof"])
    heard: list[str] = []

    class Impostor(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            heard.append(f"{self.path}\n{self.headers}")
            body = json.dumps(answers[0]).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    answers = [copied]
    server = HTTPServer(("127.0.0.1", 0), Impostor)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        url = f"http://127.0.0.1:{server.server_port}"
        for proof in (copied["proof"], None, "", "00" * 64, 7):
            answers[0] = {**copied, "proof": proof}
            result = CliRunner().invoke(cli, submit(url))
            assert isinstance(result.exception, UploadError), (result.output, result.exception)
            assert "does not prove that it is the event whose key it shows" in str(result.exception)
        with pytest.raises(UploadError, match="does not prove"):
            fetch_event(EventClient(Address.parse(url)))
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    assert len(heard) == 6 and not any("authorization" in request.lower() for request in heard)
    challenges = {request.split("challenge=")[1].split()[0] for request in heard}
    assert len(challenges) == 6 and all(len(challenge) == 64 for challenge in challenges), "each is a new one"


def test_a_challenge_of_another_form_is_refused_and_none_is_needed(served: Evening) -> None:
    for challenge in ("short", "AB" * 32, "ab" * 65, "%00" * 32, "g" * 64):
        status, _, body = ask(served.port, f"GET /api/v1/event?challenge={challenge}")
        assert (status, json.loads(body)["error"]) == (422, "challenge")
    assert json.loads(ask(served.port, "GET /api/v1/event")[2])["proof"] is None
