"""Requests made by schemathesis from the description of the API: none breaks the server, each answer is described."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import checks as shipped
from schemathesis.specs.openapi import checks

from arena.web.routes import ENTER, EVENTS, OPENAPI, ROUTES
from tests.support.bundles import header_of, verse
from tests.support.evening import Evening, secret_of

CHECKS = [
    shipped.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]
ASKED = [route.name for route in ROUTES if route is not EVENTS]  # the gateway answers that one, without an end


@pytest.fixture(scope="module")
def evening(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Evening]:
    evening = Evening(tmp_path_factory.mktemp("api") / "event").begin()
    yield evening
    evening.end()


@pytest.fixture(scope="module")
def known(evening: Evening) -> str:
    """An entry that can be asked for, and withdrawn."""
    return evening.author("ann", 1).entry


@pytest.fixture(scope="module")
def description(evening: Evening) -> Any:
    evening.app.testing = False  # errors become answers, as on a server
    return schemathesis.openapi.from_wsgi(OPENAPI, evening.app)


def ask(description: Any, known: str, name: str, examples: int, *, derandomize: bool) -> None:
    """Send requests of one operation, whose senders, entries and claims are known or not."""
    operation, claim = description.find_operation_by_id(name), header_of(verse(2))

    @settings(
        max_examples=examples,
        derandomize=derandomize,
        database=None,
        deadline=None,
        phases=[Phase.explicit, Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(), sender=st.sampled_from([None, "ann", "eve"]), is_known=st.booleans())
    def send(case: Any, sender: str | None, is_known: bool) -> None:
        headers = {"Accept-Encoding": "identity"}  # the client inside this process does not decompress
        if sender is not None:
            headers["Authorization"] = f"Bearer {secret_of(sender)}"
        if is_known and "entry_id" in (case.path_parameters or {}):
            case.path_parameters["entry_id"] = known
        if is_known and name == ENTER.name:
            case.body = claim
        case.call_and_validate(headers=headers, checks=CHECKS)

    send()


@pytest.mark.parametrize("name", ASKED)
def test_no_request_breaks_the_server_and_every_answer_is_as_described(description: Any, known: str, name: str) -> None:
    ask(description, known, name, 25, derandomize=True)


@pytest.mark.campaign
@pytest.mark.parametrize("name", ASKED)
def test_thousands_of_requests_break_nothing(description: Any, known: str, name: str) -> None:
    ask(description, known, name, 5_000, derandomize=False)
