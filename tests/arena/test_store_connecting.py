"""Connecting to a database that is away."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from psycopg import OperationalError
from psycopg.errors import CannotConnectNow

from arena.store.connecting import ConnectionGate


class Server:
    """In place of a dialect: a database server that is slow to fail while it is away."""

    def __init__(self) -> None:
        self.attempts = 0
        self.answer: object = OperationalError("name not found")
        self.begun, self.waits = threading.Event(), threading.Event()
        self.waits.set()

    def connect(self, *_arguments: object, **_parameters: object) -> object:
        self.attempts += 1
        self.begun.set()
        assert self.waits.wait(30)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def connect(gate: ConnectionGate, server: Any) -> Any:
    return gate.connect(server, None, [], {})


def test_while_one_thread_tries_to_reach_a_server_that_is_away_the_others_fail_at_once_as_it_did() -> None:
    gate, server = ConnectionGate(), Server()
    with pytest.raises(OperationalError, match="name not found"):
        connect(gate, server)
    server.begun.clear()
    server.waits.clear()
    with ThreadPoolExecutor() as threads:
        trying = threads.submit(connect, gate, server)
        assert server.begun.wait(30)
        for _ in range(20):
            with pytest.raises(OperationalError, match="name not found"):
                connect(gate, server)
        assert server.attempts == 2
        server.answer = "connection"
        server.waits.set()
        assert trying.result() == "connection"
    assert connect(gate, server) == "connection", "the gate is open again"


def test_every_failure_keeps_its_kind_and_a_server_that_answers_opens_the_gate_for_all() -> None:
    gate, server = ConnectionGate(), Server()
    for answer in (OperationalError("refused"), CannotConnectNow("starting")):
        server.answer = answer
        with pytest.raises(type(answer), match=str(answer)):
            connect(gate, server)
    server.answer = "connection"
    with ThreadPoolExecutor(8) as threads:
        assert connect(gate, server) == "connection"
        assert set(threads.map(lambda _: connect(gate, server), range(8))) == {"connection"}
