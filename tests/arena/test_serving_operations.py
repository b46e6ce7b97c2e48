"""What an operator watches: health checks, metrics and log lines of a real server."""

from __future__ import annotations

import io
import json
import logging
import logging.config
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from prometheus_client.parser import text_string_to_metric_families

from arena import logs
from arena.server.health import Health
from arena.server.snapshot import SnapshotKeeper
from arena.services.voters import set_admission
from tests.support.evening import Evening
from tests.support.pages import hidden
from tests.support.server import ArenaServer, Notes, ask, within


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Evening]:
    served = Evening(tmp_path_factory.mktemp("operations") / "event", now=None, trusted_proxies="127.0.0.1").create()
    set_admission(served.db, "pin", now=served.now)
    served.open()
    served.server = ArenaServer(served.folder, log_format="json")
    yield served
    served.end()


def get(port: int, path: str, *headers: str) -> tuple[int, Any]:
    status, _, body = ask(port, "\n".join([f"GET {path}", *headers]))
    return status, json.loads(body)


def numbers(served: Evening) -> dict[str, float]:
    """The metrics: names with the values of their labels."""
    assert served.server is not None
    status, _, body = ask(served.server.console_port, "GET /metrics")
    assert status == 200
    families = text_string_to_metric_families(body.decode())
    return {
        " ".join([sample.name, *sample.labels.values()]): sample.value for one in families for sample in one.samples
    }


@pytest.mark.slow
def test_a_server_says_that_it_lives_and_that_its_parts_work(served: Evening) -> None:
    assert get(served.port, "/healthz") == (200, {"live": True})
    assert within(30, lambda: get(served.port, "/readyz")[0] == 200)
    assert get(served.port, "/readyz")[1] == {"ready": True, "database": True, "worker": True}


@pytest.mark.slow
def test_metrics_count_what_happens_and_only_the_consoles_port_shows_them(served: Evening) -> None:
    before = numbers(served)
    for _ in range(3):
        assert ask(served.port, "GET /api/v1/state")[0] == 200
    assert ask(served.port, "GET /results")[0] == 200
    assert ask(served.port, "POST /vote", b"x" * 5_000)[0] == 403
    assert within(10, lambda: numbers(served).get("arena_requests_total page 200", 0) >= 1)
    after = numbers(served)
    assert after["arena_polls_total"] == before["arena_polls_total"] + 3
    assert after["arena_requests_total refused 403"] == before.get("arena_requests_total refused 403", 0) + 1
    assert after["arena_request_seconds_count page"] >= 1
    assert after["arena_up database"] == after["arena_up worker"] == 1
    assert after["arena_entries verified"] == 0
    assert after["process_resident_memory_bytes"] > 10**6
    assert ask(served.port, "GET /metrics")[0] == 404


@pytest.mark.slow
def test_a_page_of_another_site_reads_no_metrics(served: Evening) -> None:
    assert served.server is not None
    port = served.server.console_port
    assert ask(port, "GET /metrics\nX-Forwarded-For: 203.0.113.7")[0] == 403


@pytest.mark.slow
def test_no_header_of_a_client_or_proxy_changes_what_the_public_pages_say(served: Evening) -> None:
    headers = "\n".join(
        [
            "X-Forwarded-For: 127.0.0.1",
            "X-Forwarded-Host: evil.example",
            "X-Forwarded-Proto: https",
            "Via: x",
        ]
    )
    plain, forged = (ask(served.port, f"GET /results{more}") for more in ("", f"\n{headers}"))
    assert plain[2] == forged[2] and b"evil" not in forged[2]
    assert "secure" not in ask(served.port, f"GET /\n{headers}")[1].get("set-cookie", "").lower()


@pytest.mark.slow
def test_limits_of_attempts_go_by_the_client_that_a_trusted_proxy_names(served: Evening) -> None:
    def guess(client: str) -> int:
        status, headers, page = ask(served.port, "GET /join")
        assert status == 200
        cookie = headers["set-cookie"].partition(";")[0]
        form = urlencode({"token": hidden(page.decode(), "token"), "code": "000000"})
        lines = ["POST /join", f"Cookie: {cookie}", "Content-Type: application/x-www-form-urlencoded"]
        return ask(served.port, "\n".join([*lines, f"X-Forwarded-For: {client}"]), form.encode())[0]

    assert [guess("203.0.113.1") for _ in range(31)] == [403] * 30 + [429]
    assert guess("203.0.113.2") == 403
    assert guess("203.0.113.3, 203.0.113.1") == 429


@pytest.mark.slow
def test_a_dead_verification_process_is_noticed_shown_and_logged_as_json(served: Evening) -> None:
    assert served.server is not None
    assert within(30, lambda: "verifying" in served.server.children)  # type: ignore[union-attr]
    served.server.children["verifying"].kill()
    assert within(10, lambda: served.server.said("verification process ended"))  # type: ignore[union-attr]
    line = json.loads(served.server.said("verification process ended") or "")
    assert line["level"] == "error" and line["logger"] == "arena.server.supervisor" and line["time"].endswith("Z")
    assert within(30, lambda: get(served.port, "/readyz")[0] == 200)


def test_a_database_or_a_worker_that_is_silent_makes_a_server_not_ready(tmp_path: Path) -> None:
    keeper, beat, now = SnapshotKeeper(Notes), tmp_path / "worker-alive", time.time()
    keeper.start()
    health = Health(keeper, beat, lambda: now)
    assert health.parts() == {"database": True, "worker": False} and health.worker_problem() == ""
    beat.write_text("", "utf-8")
    assert health.parts() == {"database": True, "worker": True}
    beat.write_text("the disk is full", "utf-8")
    assert health.parts()["worker"] is False and health.worker_problem() == "the disk is full"
    now += 60
    assert "does not run" in health.worker_problem()
    keeper.stop()
    assert within(10, lambda: keeper.silence() > 0.2)


def test_the_console_shows_what_is_wrong_with_the_verification(tmp_path: Path) -> None:
    evening = Evening(tmp_path / "event").begin()
    assert b'role="alert"' not in evening.organizer().get("/console").data
    evening.__dict__["console"] = evening.make_console(warning=lambda: "the broker <b> is away")
    page = evening.organizer().get("/console").data
    assert b'role="alert">The broker &lt;b&gt; is away.' in page
    evening.end()


@pytest.fixture
def stream(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    log = logging.getLogger("hostile")
    log.addHandler(handler)
    yield stream
    log.removeHandler(handler)


@pytest.mark.parametrize("wanted", ["text", "json"])
def test_nothing_that_a_stranger_sends_makes_a_second_line_in_the_log(
    stream: io.StringIO, monkeypatch: pytest.MonkeyPatch, wanted: str
) -> None:
    monkeypatch.setenv(logs.VARIABLE, wanted)
    log = logging.getLogger("hostile")
    log.handlers[0].setFormatter(logs.formatter())
    log.error("the client stopped reading %s", "/a\nERROR forged\x1b[2J\u202e")
    [line] = stream.getvalue().splitlines()
    assert line.isascii() and line.isprintable()
    if wanted == "json":
        assert json.loads(line)["message"].endswith("/a\nERROR forged\x1b[2J\u202e")
