"""Attacks on entering, over loopback against a real server with its real checks."""

from __future__ import annotations

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from arena.services.queries import list_entries
from tests.support.bundles import header_of, large_verse, verse
from tests.support.evening import Evening, secret_of
from tests.support.server import ask, within

pytestmark = pytest.mark.slow


class Sender:
    """One secret that speaks to a server."""

    def __init__(self, port: int, name: str) -> None:
        self.port, self.name = port, name
        self.header = f"Authorization: Bearer {secret_of(name)}"

    def claim(self, data: bytes) -> dict[str, object]:
        _, _, body = ask(self.port, f"POST /api/v1/entries?name={self.name}\n{self.header}", header_of(data))
        return dict(json.loads(body))

    def piece(self, entry: object, offset: int, data: bytes) -> int:
        request = f"PATCH /api/v1/entries/{entry}\n{self.header}\nUpload-Offset: {offset}"
        return ask(self.port, request, data)[0]

    def withdraw(self, entry: object) -> int:
        return ask(self.port, f"DELETE /api/v1/entries/{entry}\n{self.header}")[0]


def test_raced_pieces_and_withdrawn_uploads_leave_only_whole_bundles(served: Evening) -> None:
    with ThreadPoolExecutor(6) as pool:
        for number in range(4):
            sender, data = Sender(served.port, f"racer{number}"), verse(number)
            claimed = sender.claim(data)
            entry, offset = claimed["entry"], int(str(claimed["offset"]))
            right = data[offset:]
            wrong = bytes(byte ^ 1 for byte in right)
            sent = [pool.submit(sender.piece, entry, offset, wrong if turn % 2 else right) for turn in range(6)]
            assert {answer.result() for answer in sent} <= {
                200,
                409,
                422,
                503,
            }  # 503: a newer piece of the same entry has come first
            sender.piece(entry, offset, right)
    silent = Sender(served.port, "eve")
    claimed, data = silent.claim(large_verse(1)), large_verse(1)
    offset = int(str(claimed["offset"]))
    assert silent.piece(claimed["entry"], offset, data[offset : offset + 2**20]) == 200
    assert served.spool.parts() == [claimed["entry"]]
    assert silent.withdraw(claimed["entry"]) == 200
    assert within(10, lambda: served.spool.parts() == [])
    served.wait_until_verified(4)
    stored = {path.stem: hashlib.sha256(path.read_bytes()).hexdigest() for path in served.settings.bundles.iterdir()}
    assert len(stored) == 4 and all(name == digest for name, digest in stored.items())
    assert sorted(entry.state for entry in list_entries(served.db)) == ["verified"] * 4 + ["withdrawn"]
