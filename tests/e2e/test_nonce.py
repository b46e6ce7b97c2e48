"""The nonce of an event: committed to before, published when submissions open, and part of every run for it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from arena.rules.chain import commitment
from arena.services.log import read_records
from tests.support.evening import Evening
from tests.support.training_runs import SMALLEST
from trainer.checkpoint import read_checkpoint
from trainer.cli import cli
from trainer.config import TrainConfig
from trainer.errors import OptionError
from trainer.model import new_model
from trainer.rng import event_key, run_key, seed_key
from trainer.runtime.run import Run, read_config
from trainer.verse import strictjson
from trainer.verse.identity import new_secret, owner_id

SMALL = ["--corpus", "haiku", "--steps", "2", *SMALLEST]
NONCE, OWNER = "a" * 64, "b" * 64


@pytest.fixture
def evening(tmp_path: Path) -> Iterator[Evening]:
    evening = Evening(tmp_path / "event", now=None)
    evening.create()
    yield evening
    evening.end()


def train(*options: str) -> tuple[int, str]:
    result = CliRunner().invoke(cli, ["train", *SMALL, *options])
    message = str(result.exception or "") if not isinstance(result.exception, SystemExit) else ""
    return result.exit_code, result.output + message


def test_the_nonce_is_published_when_submissions_open_and_committed_before(evening: Evening) -> None:
    client = evening.phone()
    assert client.get("/api/v1/event").json["nonce"] is None
    evening.open()
    nonce = client.get("/api/v1/event").json["nonce"]
    with evening.db.reading() as session:
        first, opened = (strictjson.parse(record.data.encode()) for record in read_records(session))
    assert first["nonce"] == commitment(nonce) and opened["nonce"] == nonce and nonce not in json.dumps(first)
    shown = "".join(client.get("/stage").get_data(as_text=True).split())
    assert nonce[:16] in shown.replace("<br>", "").replace("<code>", "").replace("</code>", "")
    evening.close()
    evening.open()
    assert client.get("/api/v1/event").json["nonce"] == nonce, "trainings that have begun stay valid"


def test_a_run_for_an_event_is_keyed_by_its_nonce_its_owner_and_its_seed() -> None:
    key = event_key(NONCE, OWNER, 7)
    assert key == hashlib.sha256(f"verse-train-key-1|{NONCE}|{OWNER}|7".encode()).digest()
    keys = [key, event_key("c" * 64, OWNER, 7), event_key(NONCE, NONCE, 7), event_key(NONCE, OWNER, 8), seed_key(7)]
    assert len(set(keys)) == 5 and run_key(7, "", "") == seed_key(7)
    model = TrainConfig(n_layer=1, n_head=1, n_embd=32, block_size=16).model(20)
    one, same, other = (new_model(model, each, 0.0, "float32") for each in (key, key, keys[1]))
    weights = [next(iter(made.parameters())) for made in (one, same, other)]
    assert weights[0].equal(weights[1]) and not weights[0].equal(weights[2])
    for wrong in ({"nonce": "A" * 64, "owner": OWNER}, {"nonce": NONCE}, {"owner": OWNER}):
        with pytest.raises(OptionError):
            TrainConfig(**wrong)  # type: ignore[arg-type]


@pytest.mark.slow
def test_a_run_for_an_event_says_so_in_its_settings_and_its_checkpoint(evening: Evening, tmp_path: Path) -> None:
    evening.serve()
    ticket, run, offline = tmp_path / "ada.ticket", tmp_path / "run", tmp_path / "offline"
    status, output = train("--event", evening.url, "--ticket-file", str(ticket), "--out", str(run))
    assert status != 0 and "it publishes its nonce when submissions open" in output
    evening.open()
    assert train("--event", evening.url, "--ticket-file", str(ticket), "--out", str(run))[0] == 0
    nonce = evening.phone().get("/api/v1/event").json["nonce"]
    config, _ = read_config(Run(run))
    assert (config.nonce, config.owner) == (nonce, owner_id(ticket.read_text().strip()))
    assert read_checkpoint(run).provenance["train"]["nonce"] == nonce
    assert train("--event", nonce.upper(), "--ticket-file", str(ticket), "--out", str(offline))[0] == 0
    first, second = (read_checkpoint(folder) for folder in (run, offline))
    assert all((first.weights[name] == second.weights[name]).all() for name in first.weights), "one key, one model"


def test_a_nonce_without_a_secret_and_a_secret_without_an_event_are_refused(tmp_path: Path) -> None:
    assert "a nonce needs --ticket or --ticket-file" in train("--event", NONCE)[1]
    path = tmp_path / "ticket"
    path.write_text(new_secret())
    assert "need --event" in train("--ticket-file", str(path))[1]
