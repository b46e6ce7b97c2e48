"""The gateway, called as a server calls it: polls from memory, limits of request bodies, Flask for the rest."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from arena.server import request_body
from arena.server.gateway import EXECUTORS, Gateway
from arena.server.snapshot import SnapshotKeeper
from arena.services.schemas import to_json
from arena.web.admission import Admission, Admit, admit_everybody
from arena.web.limits import PUBLIC_LIMITS, public_limits
from arena.web.refusal import Refusal
from tests.support.server import BLANK, Notes, small_app, within

MIB = 2**20
Answer = tuple[int, dict[str, str], bytes]


class Seat:
    """A gateway that runs, and somebody who asks it."""

    def __init__(self, gateway: Gateway, notes: Notes, app: Any) -> None:
        self.gateway, self.notes, self.app = gateway, notes, app

    async def ask(
        self, method: str, path: str, *chunks: bytes, headers: dict[str, str] | None = None, stalls: bool = False
    ) -> Answer:
        """One request. `stalls`: after its chunks, nothing more comes, and the connection stays open."""
        path, _, query = path.partition("?")
        pairs = [(name.lower().encode(), value.encode()) for name, value in (headers or {}).items()]
        if chunks and not headers:
            pairs.append((b"content-length", str(sum(map(len, chunks))).encode()))
        scope = {
            "type": "http",
            "http_version": "1.1",
            "method": method,
            "path": path,
            "query_string": query.encode("latin-1"),
            "headers": pairs,
            "server": ("127.0.0.1", 8000),
            "client": ("127.0.0.1", 50_000),
            "scheme": "http",
        }
        left = list(chunks)
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            if left:
                chunk = left.pop(0)
                return {"type": "http.request", "body": chunk, "more_body": bool(left) or stalls}
            if stalls:
                await asyncio.Event().wait()
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        await self.gateway(scope, receive, send)
        start, *rest = sent
        body = b"".join(message["body"] for message in rest)
        assert not rest[-1].get("more_body", False)
        names = {name.decode(): value.decode() for name, value in start["headers"]}
        return start["status"], names, body


@asynccontextmanager
async def seated(tmp_path: Path, admit: Admit) -> AsyncIterator[Seat]:
    """Started and stopped as a server does it."""
    notes, app = Notes(), small_app()
    gateway = Gateway(app, SnapshotKeeper(lambda: notes), tmp_path, admit)
    inbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    outbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    task = asyncio.create_task(gateway({"type": "lifespan"}, inbox.get, outbox.put))
    inbox.put_nowait({"type": "lifespan.startup"})
    assert (await outbox.get())["type"] == "lifespan.startup.complete"
    try:
        yield Seat(gateway, notes, app)
    finally:
        app.config["held"].set()
        inbox.put_nowait({"type": "lifespan.shutdown"})
        assert (await outbox.get())["type"] == "lifespan.shutdown.complete"
        await task


@pytest.fixture
def seat(tmp_path: Path) -> Callable[..., None]:
    """Runs a coroutine with a gateway."""

    def run(story: Callable[[Seat], Coroutine[Any, Any, None]], admit: Admit = admit_everybody) -> None:
        async def whole() -> None:
            async with seated(tmp_path, admit) as it:
                await story(it)

        asyncio.run(whole())

    return run


def test_a_poll_is_answered_from_memory_and_never_asks_flask(seat: Callable[..., None]) -> None:
    async def story(it: Seat) -> None:
        held = [asyncio.create_task(it.ask("GET", "/hold")) for _ in range(50)]  # every thread, and a queue
        status, headers, body = await it.ask("GET", "/api/v1/state")
        assert (status, headers["content-type"]) == (200, "application/json")
        assert body == to_json(BLANK) and json.loads(body) == asdict(BLANK)
        assert headers["cache-control"] == "no-cache"
        it.app.config["held"].set()
        assert [one[0] for one in await asyncio.gather(*held)] == [200] * 50

    seat(story)


def test_a_poll_that_knows_the_state_gets_304_until_it_changes(seat: Callable[..., None]) -> None:
    async def story(it: Seat) -> None:
        _, headers, _ = await it.ask("GET", "/api/v1/state")
        known = {"If-None-Match": headers["etag"]}
        status, again, body = await it.ask("GET", "/api/v1/state", headers=known)
        assert (status, again["etag"], body) == (304, headers["etag"], b"")
        assert (await it.ask("GET", "/api/v1/state", headers={"If-None-Match": f"W/{headers['etag']}"}))[0] == 304
        it.notes.say(version=1)
        async with asyncio.timeout(5):
            while (response := await it.ask("GET", "/api/v1/state", headers=known))[0] == 304:
                await asyncio.sleep(0.01)
        status, fresh, body = response
        assert (status, json.loads(body)["version"]) == (200, 1)
        assert fresh["etag"] != headers["etag"]

    seat(story)


def test_other_requests_reach_flask_whole(seat: Callable[..., None]) -> None:
    async def story(it: Seat) -> None:
        body = bytes(range(256)) * 50
        headers = {"Content-Length": str(len(body)), "X-Seen": "yes", "X_Seen": "no"}
        status, names, data = await it.ask("POST", "/mine/where?a=1&b=%20%C3%A9", body[:9], body[9:], headers=headers)
        said = json.loads(data)
        assert (status, names["content-type"]) == (200, "application/json")
        assert (said["method"], said["path"], said["query"]) == ("POST", "/mine/where", "a=1&b=%20%C3%A9")
        assert (said["size"], said["sha256"]) == (len(body), hashlib.sha256(body).hexdigest())
        assert said["headers"] == {"X-Seen": "yes"}, "a header with an underscore passes for another"

    seat(story)


def test_a_body_in_chunks_needs_no_length(seat: Callable[..., None]) -> None:
    async def story(it: Seat) -> None:
        _, _, data = await it.ask("POST", "/vote", b"ab", b"", b"cd", headers={"Transfer-Encoding": "chunked"})
        assert json.loads(data)["size"] == 4

    seat(story)


@pytest.mark.parametrize("query", ["é=ü", "a= b", "%ff", "\x80"])
def test_a_malformed_query_string_is_answered_and_crashes_nothing(seat: Callable[..., None], query: str) -> None:
    async def story(it: Seat) -> None:
        assert (await it.ask("GET", f"/x?{query}"))[0] == 200

    seat(story)


@pytest.mark.parametrize(
    ("method", "path", "limit"),
    [
        ("POST", "/vote", 4_096),
        ("POST", "/api/v1/entries", MIB + 8),
        ("PATCH", "/api/v1/entries/abc", MIB),
        ("POST", "/mine/link", 16_384),
    ],
)
def test_each_route_takes_its_limit_and_not_a_byte_more(
    seat: Callable[..., None], method: str, path: str, limit: int
) -> None:
    async def story(it: Seat) -> None:
        assert json.loads((await it.ask(method, path, b"x" * limit))[2])["size"] == limit
        for headers in (None, {"Transfer-Encoding": "chunked"}):
            status, names, _ = await it.ask(method, path, b"x" * limit, b"y", headers=headers)
            assert (status, names["connection"]) == (413, "close")

    seat(story)


def test_a_form_may_hold_the_largest_bundle() -> None:
    assert public_limits("POST", "/enter").max_bytes == 193 * MIB


def test_a_body_larger_than_a_piece_is_spooled_to_a_file_that_is_removed(
    seat: Callable[..., None], tmp_path: Path
) -> None:
    async def story(it: Seat) -> None:
        body = b"verse" * MIB  # 5 MiB
        pieces = [body[i : i + 65_536] for i in range(0, len(body), 65_536)]
        said = json.loads((await it.ask("POST", "/enter", *pieces))[2])
        assert said["sha256"] == hashlib.sha256(body).hexdigest()
        assert said["memory"] is False
        assert json.loads((await it.ask("POST", "/enter", b"x" * MIB))[2])["memory"] is True
        assert list(tmp_path.iterdir()) == []

    seat(story)


def hurried(**changes: Any) -> Admit:
    """Admits everybody, by limits that are changed."""
    return lambda method, path, headers: Admission(
        replace(public_limits(method, path), **changes), headers.get("x-sender", "")
    )


def test_a_stalled_body_times_out(seat: Callable[..., None]) -> None:
    async def story(it: Seat) -> None:
        status, _, body = await it.ask("PATCH", "/api/v1/entries/a", b"x", headers=LONG, stalls=True)
        assert (status, json.loads(body)["error"]) == (408, "too-slow")

    seat(story, hurried(seconds=0.1))


LONG = {"Content-Length": "1000"}


def test_when_a_lane_is_full_the_slowest_body_makes_room(seat: Callable[..., None]) -> None:
    async def story(it: Seat) -> None:
        piece, long = "/api/v1/entries/a", {"Content-Length": "100000"}
        stalled = [
            asyncio.create_task(it.ask("PATCH", piece, b"x" * size, headers=long, stalls=True))
            for size in (50_000, 1, 80_000)
        ]
        await asyncio.sleep(0.01)
        assert (await it.ask("PATCH", piece, b"x"))[0] == 200
        status, names, body = await stalled[1]
        assert (status, names["retry-after"], json.loads(body)["error"]) == (503, "3", "busy")
        assert (await it.ask("POST", "/vote", b"side=left"))[0] == 200
        assert not stalled[0].done() and not stalled[2].done(), "other lanes evict nobody here"
        for task in (stalled[0], stalled[2]):
            task.cancel()

    seat(story, hurried(max_concurrent=3))


def test_a_sender_who_begins_again_replaces_the_body_before(seat: Callable[..., None]) -> None:
    async def story(it: Seat) -> None:
        def begin(sender: str, path: str = "/vote") -> asyncio.Task[Answer]:
            return asyncio.create_task(it.ask("POST", path, b"x", headers={**LONG, "X-Sender": sender}, stalls=True))

        first, other, elsewhere = begin("ada"), begin("bob"), begin("ada", "/mine/link")
        await asyncio.sleep(0.05)
        again = begin("ada")
        assert (await first)[0] == 503
        assert not other.done() and not elsewhere.done() and not again.done()
        for task in (other, elsewhere, again):
            task.cancel()

    seat(story, hurried())


def test_a_body_in_a_thousand_crumbs_is_refused(seat: Callable[..., None]) -> None:
    async def story(it: Seat) -> None:
        crumbs = [b"x"] * 1_000
        assert (await it.ask("POST", "/vote", *crumbs, headers={"Transfer-Encoding": "chunked"}))[0] == 400
        packets = [b"x" * 500] * 1_000
        assert (await it.ask("POST", "/enter", *packets, headers={"Transfer-Encoding": "chunked"}))[0] == 200

    seat(story)


def test_the_body_of_a_request_that_takes_none_is_not_kept(seat: Callable[..., None]) -> None:
    async def story(it: Seat) -> None:
        for method, path in (("POST", "/nothing"), ("PUT", "/enter"), ("PATCH", "/vote")):
            status, _, data = await it.ask(method, path, b"x" * 70_000)
            assert status == 405 or json.loads(data)["size"] == 0, path

    seat(story)


def test_nobody_is_refused_after_having_taken_a_place(seat: Callable[..., None]) -> None:
    def question() -> None:
        raise Refusal(409, "closed", "Submissions are closed.")

    def admit(method: str, path: str, headers: Any) -> Admission:
        if path == "/vote":
            raise Refusal(401, "no-secret", "Say who you are.")
        return Admission(public_limits(method, path), "ada", question)

    async def story(it: Seat) -> None:
        assert (await it.ask("POST", "/vote", b"x", headers=LONG, stalls=True))[0] == 401
        status, _, body = await it.ask("POST", "/api/v1/entries", b"x", headers=LONG, stalls=True)
        assert (status, json.loads(body)["error"]) == (409, "closed")

    monkey = pytest.MonkeyPatch()
    monkey.setattr(request_body, "DRAIN_SECONDS", 0.05)
    seat(story, admit)
    monkey.undo()


def test_every_class_has_an_end(seat: Callable[..., None]) -> None:
    assert public_limits("POST", "/vote").deadline(4_096) == 3.0, "a vote at its slowest"
    assert all(limits.deadline(limits.max_bytes) < 3_600 for limits in PUBLIC_LIMITS)


def test_a_full_executor_answers_busy_and_leaves_the_others_free(
    seat: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(EXECUTORS, "pages", (1, 2))

    async def story(it: Seat) -> None:
        held = [asyncio.create_task(it.ask("GET", "/hold")) for _ in range(2)]
        await asyncio.to_thread(within, 5, lambda: it.app.config["inside"] == 1)
        status, names, body = await it.ask("GET", "/page")
        assert (status, names["retry-after"]) == (503, "1")
        assert b"try again" in body
        assert (await it.ask("POST", "/vote", b"side=left"))[0] == 200
        it.app.config["held"].set()
        assert [one[0] for one in await asyncio.gather(*held)] == [200, 200]

    seat(story)


def test_a_large_response_is_produced_as_fast_as_it_is_read(seat: Callable[..., None]) -> None:
    async def story(it: Seat) -> None:
        status, _, body = await it.ask("GET", "/large/3")
        assert (status, len(body)) == (200, 3 * MIB)

    seat(story)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_error_in_the_application_is_a_500_and_the_next_request_is_fine(seat: Callable[..., None]) -> None:
    async def story(it: Seat) -> None:
        assert (await it.ask("GET", "/broken"))[0] == 500
        assert (await it.ask("GET", "/fine"))[0] == 200

    seat(story)


def test_a_length_that_is_no_number_is_refused(seat: Callable[..., None]) -> None:
    async def story(it: Seat) -> None:
        for length in ("-1", "1e3", "9" * 16, ""):
            assert (await it.ask("POST", "/vote", headers={"Content-Length": length}))[0] == 400

    seat(story)


def test_a_gateway_whose_first_snapshot_fails_does_not_start(tmp_path: Path) -> None:
    def broken() -> Notes:
        raise RuntimeError("no event here")

    async def story() -> None:
        gateway = Gateway(small_app(), SnapshotKeeper(broken), tmp_path, admit_everybody)
        inbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        outbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        inbox.put_nowait({"type": "lifespan.startup"})
        await gateway({"type": "lifespan"}, inbox.get, outbox.put)
        assert await outbox.get() == {"type": "lifespan.startup.failed", "message": "no event here"}

    asyncio.run(story())
