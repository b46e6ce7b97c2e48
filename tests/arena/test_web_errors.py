"""Domain errors on the web: each has a code of its own and a row in the table of HTTP statuses."""

from __future__ import annotations

import inspect

from arena import errors
from arena.errors import ArenaError
from arena.server.network import PortTaken
from arena.settings import SettingsError
from arena.web.errors import STATUSES, status_of


def domain_errors() -> set[type[ArenaError]]:
    kinds = {kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, ArenaError)}
    return kinds - {ArenaError}


def test_every_domain_error_has_a_code_a_status_and_a_sentence() -> None:
    assert set(STATUSES) == domain_errors() | {SettingsError}, "an address typed on the console may be none"
    seen = set()
    for kind in ArenaError.__subclasses__():
        assert kind.code not in seen and kind.__doc__
        seen.add(kind.code)
    assert all(400 <= status < 600 for status in STATUSES.values())


def test_errors_defined_elsewhere_are_faults_of_the_server() -> None:
    assert status_of(PortTaken("127.0.0.1", 8000, "another program uses it")) == 500


def test_a_domain_error_knows_nothing_of_http() -> None:
    assert not any(hasattr(kind, "status") for kind in domain_errors())
