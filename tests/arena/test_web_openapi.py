"""The description of the API: up to date, complete, and true of what a server answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from arena.rules.chain import fingerprint, nonce
from arena.services import bracket, events
from arena.services.queries import log_head
from arena.web import openapi
from arena.web.routes import API, EVENT, OPENAPI, ROUTES
from tests.support.bundles import header_of, verse
from tests.support.evening import Evening
from tests.support.server import ask, within
from trainer.signatures import is_signed_receipt

SECRET = "a-secret-of-the-poet-who-asks"


@pytest.fixture
def evening(tmp_path: Path) -> Evening:
    return Evening(tmp_path / "event").create()


def check(method: str, path: str, status: int, answer: object) -> None:
    """Fail unless the description has such an answer, and this one is right in every field."""
    description = openapi.describe()
    responses = description["paths"][path][method.lower()]["responses"]
    response = responses.get(str(status), responses["default"])
    assert str(status) in responses or status >= 400, f"{method} {path} does not answer {status}"
    schema = response["content"]["application/json"]["schema"]
    Draft202012Validator({**schema, "components": description["components"]}).validate(answer)


def test_the_file_in_the_repository_is_the_generated_one() -> None:
    assert openapi.FILE.read_text(encoding="utf-8") == openapi.render(), "run `python -m arena.web.openapi`"


def test_the_schemas_of_the_description_are_valid_json_schemas() -> None:
    for schema in openapi.describe()["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


def test_the_description_names_every_route_of_the_api_and_no_other(evening: Evening) -> None:
    described = {(route.method, route.rule) for route in ROUTES}
    served = {
        (method, rule.rule.replace("<name>", ""))
        for rule in evening.app.url_map.iter_rules()
        if rule.rule.startswith("/api")
        for method in rule.methods - {"HEAD", "OPTIONS"}
    }
    assert served == described | {("GET", OPENAPI)}
    for route in ROUTES:
        assert route.method.lower() in openapi.describe()["paths"][route.path]


def test_the_application_serves_the_description(evening: Evening) -> None:
    answer = evening.phone().get(OPENAPI)
    assert (answer.status_code, answer.mimetype) == (200, "application/json")
    assert answer.json == openapi.describe()


def test_every_field_of_the_snapshot_and_of_the_answers_is_required() -> None:
    schemas = openapi.describe()["components"]["schemas"]
    for name in ("Snapshot", "OpenMatch", "EntryStatus", "ClaimResponse", "EventResponse", "Limits"):
        assert schemas[name]["required"] == list(schemas[name]["properties"])
        assert schemas[name]["additionalProperties"] is False


def test_the_event_answers_limits_corpus_and_key(evening: Evening) -> None:
    events.open_submissions(evening.db, closes_at=evening.now + 600, now=evening.now)
    answer = evening.phone().get(EVENT.path).json
    check("GET", EVENT.path, 200, answer)
    key = answer.pop("receipt_key")
    assert answer.pop("key_fingerprint") == fingerprint(key)
    log = answer.pop("log")
    assert answer.pop("nonce") == nonce("salt")
    assert (log["number"], log["hash"]) == log_head(evening.db)
    assert answer == {
        "name": "Evening <of> verses",
        "state": "open",
        "admission": "open",
        "proof": None,
        "closes_at": evening.now + 600,
        "grace_ends_at": None,
        "limits": {
            "lines": 8,
            "characters": 480,
            "author_characters": 40,
            "prompt_characters": 60,
            "piece_bytes": 2**20,
            "bundle_bytes": 192 * 2**20,
            "entries_without_verdict": 3,
            "entries_per_owner": 20,
        },
        "corpus": {
            "name": "folio",
            "sha256": "e283980c42f060a9ee4509ef63e65f3f423ebdd85f8b44b8a5d20f9a6f37e8b1",
        },
    }
    receipt = (
        evening.phone()
        .post(f"{API}/entries?name=Ada", data=header_of(verse(3)), headers={"Authorization": f"Bearer {SECRET}"})
        .json["receipt"]
    )
    signature = receipt.pop("signature")
    assert is_signed_receipt(key, {**receipt, "signature": signature})


def test_the_open_match_and_the_end_are_answered_as_described(evening: Evening) -> None:
    evening.voting()
    state = evening.phone().get(f"{API}/state").json
    assert state["match"] is not None
    check("GET", f"{API}/state", 200, state)
    evening.tie("r1m1")
    bracket.close_match(evening.db, "r1m1", poll_round=0, now=evening.now)
    check("GET", f"{API}/state", 200, evening.phone().get(f"{API}/state").json)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Evening]:
    served = Evening(tmp_path / "event", now=None).begin()
    served.serve()
    yield served
    served.end()


@pytest.mark.slow
def test_a_real_server_answers_as_described(served: Evening) -> None:
    data = verse(3)
    start = header_of(data)
    own = f"Authorization: Bearer {SECRET}"

    def asked(method: str, path: str, query: str = "", headers: str = "", body: bytes = b"", entry: str = "") -> Any:
        line = f"{method} {path.replace('{entry_id}', entry)}{query}" + (f"\n{headers}" if headers else "")
        status, _, answer = ask(served.port, line, body)
        value = json.loads(answer)
        check(method, path, status, value)
        return status, value

    entries, one = f"{API}/entries", f"{API}/entries/{{entry_id}}"
    assert asked("GET", f"{API}/state")[0] == asked("GET", f"{API}/event")[0] == 200
    status, claim = asked("POST", entries, "?name=Ada", own, start)
    assert status == 201
    assert asked("POST", entries, "?name=Ada", own, start) == (200, claim)
    entry = claim["entry"]
    status, wrong = asked("PATCH", one, "", f"{own}\nUpload-Offset: 1", data[1:9], entry)
    assert (status, wrong["offset"]) == (409, claim["offset"])
    assert asked("PATCH", one, "", own, b"x", entry)[0] == 400
    at = f"{own}\nUpload-Offset: {claim['offset']}"
    assert asked("PATCH", one, "", at, data[claim["offset"] :], entry)[0] == 200
    assert within(60, lambda: asked("GET", one, "", own, b"", entry)[1]["state"] == "verified")
    assert asked("DELETE", one, "", own, b"", entry)[1]["state"] == "withdrawn"
    assert asked("GET", one, "", own, b"", "no-such-entry")[0] == 404
    assert asked("POST", entries, "?name=Ada", "", start)[0] == 401
    assert asked("POST", entries, "?name=Ada", own, b"x" * 2**20 + b"x" * 9)[0] == 413
    assert asked("PATCH", one, "", at, b"x", entry)[0] == 409
    assert json.loads(ask(served.port, f"GET {OPENAPI}")[2]) == openapi.describe()
