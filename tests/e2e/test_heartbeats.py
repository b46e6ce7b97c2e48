"""Heartbeats of a training: sent while nothing waits for them, kept in the run's folder, carried later."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from arena.services.race import get_race, list_race, set_race
from tests.support.evening import Evening
from tests.support.server import within
from tests.support.training_runs import SMALLEST
from trainer.cli import cli
from trainer.submission import heartbeats
from trainer.submission.event import fetch_event
from trainer.submission.heartbeats import HEARTBEATS, LAST_SECONDS, WAITING, Heartbeats, Target, read_heartbeats
from trainer.submission.http_client import Address, EventClient
from trainer.verse.identity import new_secret

SMALL = ["--corpus", "folio", "--steps", "8", *SMALLEST]
KEY = "0" * 64


@pytest.fixture(scope="module")
def evening(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Evening]:
    evening = Evening(tmp_path_factory.mktemp("evening") / "event", now=None)
    evening.begin()
    evening.serve()
    yield evening
    evening.end()


def train(*options: str) -> str:
    result = CliRunner().invoke(cli, ["train", *SMALL, *options])
    assert result.exit_code == 0, result.output + repr(result.exception)
    return result.output


def target_of(evening: Evening) -> Target:
    client = EventClient(Address.parse(evening.url))
    event = fetch_event(client)
    client.close()
    return Target(event.url, event.receipt_key, new_secret())


def never(seed: int) -> str:
    raise AssertionError("a sample was written, which nobody asked for")


@pytest.mark.slow
def test_a_training_for_an_event_is_in_its_race_with_two_lines_where_it_is_asked_to(
    evening: Evening, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heartbeats, "LAST_SECONDS", 60.0)  # a busy machine may need longer than a user would wait
    run, ticket = tmp_path / "run", tmp_path / "ada.ticket"
    output = train("--event", evening.url, "--ticket-file", str(ticket), "--out", str(run), "--sample")
    assert "two lines that your model writes" in " ".join(output.split())
    curves = {curve.nickname: curve for curve in get_race(evening.db).curves}
    [curve] = [curve for name, curve in curves.items() if f"“{name}”" in output]
    assert (curve.step, curve.steps) == (8, 8) and curve.points and all(point.live for point in curve.points)
    kept = (run / HEARTBEATS).read_text()
    assert curve.sample and not {"temperature", "prompt", "top_k", "seed"} & {*json.loads(kept.splitlines()[-1])}
    assert ticket.read_text().strip() not in kept


@pytest.mark.slow
def test_a_run_without_a_network_carries_its_heartbeats_when_it_is_submitted(evening: Evening, tmp_path: Path) -> None:
    run, ticket, nonce = tmp_path / "run", tmp_path / "bo.ticket", evening.phone().get("/api/v1/event").json["nonce"]
    ticket.write_text(new_secret())
    train("--event", nonce, "--ticket-file", str(ticket), "--out", str(run))
    file = run / HEARTBEATS
    head, *lines = map(json.loads, file.read_text().splitlines())
    for line in (head, *lines):  # it was trained an hour ago, for half an hour
        for name in {"at", "begun_at"} & line.keys():
            line[name] -= 3_600
        if "minutes" in line:
            line["minutes"] = 30 * line["step"] / line["steps"]
    file.write_text("".join(json.dumps(line) + "\n" for line in (head, *lines)))
    before = {curve.nickname for curve in list_race(evening.db).curves}
    options = ["--ckpt", str(run), "--tokens", "90", "--to", evening.url, "--name", "Bo", "--no-wait"]
    for seed in range(20):
        result = CliRunner().invoke(cli, ["submit", *options, "--seed", str(seed), "--ticket-file", str(ticket)])
        if result.exit_code == 0:
            break
    assert result.exit_code == 0 and "which did not see it live" in result.output, result.output
    [curve] = [curve for curve in get_race(evening.db).curves if curve.nickname not in before]
    assert curve.points and not any(point.live for point in curve.points)


def test_nothing_waits_for_a_network_that_takes_everything_and_answers_nothing(tmp_path: Path) -> None:
    hole = socket.create_server(("127.0.0.1", 0))
    beats = Heartbeats(
        Target(f"http://127.0.0.1:{hole.getsockname()[1]}", KEY, new_secret()), clock=iter(range(10**6)).__next__
    )
    beats.start(tmp_path, tmp_path / "last.safetensors")
    begun = time.monotonic()
    for step in range(2 * WAITING):
        beats.beat(step, 10**6, step, 2.5, never)
    assert time.monotonic() - begun < 2.0
    beats.close()
    assert time.monotonic() - begun < 2 * LAST_SECONDS + 2
    hole.close()
    kept = read_heartbeats(tmp_path)
    assert kept is not None and kept.beats[-1]["step"] > 0


def test_a_server_that_comes_later_gets_what_it_missed(evening: Evening, tmp_path: Path) -> None:
    target = target_of(evening)
    set_race(evening.db, True, now=evening.now)
    said: list[str] = []
    closed = socket.create_server(("127.0.0.1", 0))
    port = closed.getsockname()[1]
    closed.close()
    first = Heartbeats(Target(f"http://127.0.0.1:{port}", target.receipt_key, target.secret))
    first.start(tmp_path, tmp_path / "last")
    first.beat(10, 100, 6.0, 3.0, never)
    first.close()
    second = Heartbeats(target, say=said.append)  # the run is resumed
    second.start(tmp_path, tmp_path / "last")
    second.beat(10, 100, 6.0, 3.0, never)
    second.beat(100, 100, 9.0, 2.0, never)
    assert within(20, lambda: bool(said))
    second.close()
    kept = read_heartbeats(tmp_path)
    assert kept is not None and [beat["step"] for beat in kept.beats] == [10, 100], "no step twice"
    assert "In the race of the event you are" in said[0] and "/race#" in said[0]


def test_a_secret_is_not_sent_to_another_event_that_answers_at_the_address(evening: Evening, tmp_path: Path) -> None:
    target = target_of(evening)
    other = Target(target.url, KEY, target.secret)
    beats = Heartbeats(other)
    before = len(list_race(evening.db).curves)
    beats.start(tmp_path, tmp_path / "last")
    beats.beat(100, 100, 9.0, 2.0, never)
    beats.close()
    assert len(list_race(evening.db).curves) == before


def test_options_of_the_race_need_an_event(tmp_path: Path) -> None:
    for option in ("--sample", "--no-race"):
        result = CliRunner().invoke(cli, ["train", *SMALL, option, "--out", str(tmp_path / "run")])
        assert "need --event" in str(result.exception)
