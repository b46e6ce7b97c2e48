"""Downloads of bundles: how many at once, who makes room, and that votes and pages never wait for them."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from arena.server.gateway import EXECUTORS
from arena.server.transfers import FAIR_RATE, GRACE_SECONDS, RETRY_SECONDS, Transfers
from arena.web.admission import admit_everybody
from arena.web.limits import MAX_DOWNLOADS, public_limits
from arena.web.refusal import Refusal
from tests.arena.test_serving_gateway import seated

DOWNLOAD = "/entries/" + "0" * 32 + "/bundle"
LIMITS = public_limits("GET", DOWNLOAD)


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_the_ninth_download_is_asked_to_come_back_and_a_free_place_is_taken() -> None:
    transfers, clock = Transfers(), Clock()
    places = [transfers.place(LIMITS, clock) for _ in range(MAX_DOWNLOADS)]
    for place in places:
        place.__enter__()
    with pytest.raises(Refusal) as caught, transfers.place(LIMITS, clock):
        pass
    assert (caught.value.status, caught.value.retry_after) == (503, RETRY_SECONDS)
    assert str(RETRY_SECONDS) in str(caught.value)
    with transfers.place(public_limits("GET", "/"), clock):
        pass  # pages have no such limit
    places.pop().__exit__(None, None, None)
    with transfers.place(LIMITS, clock):
        pass


def test_packages_that_guests_install_take_no_thread_of_the_pages_and_leave_places_for_bundles() -> None:
    packages = public_limits("GET", "/wheels/files/torch-2.7.0-cp312-cp312-linux_x86_64.whl")
    assert packages.executor == "downloads" and packages.max_responses > MAX_DOWNLOADS
    _, queue = EXECUTORS["downloads"]
    assert packages.max_responses + MAX_DOWNLOADS <= queue
    assert public_limits("GET", "/wheels/verse-arena/").executor == "pages"
    transfers, clock = Transfers(), Clock()
    places = [transfers.place(packages, clock) for _ in range(packages.max_responses)]
    for place in places:
        place.__enter__()
    with pytest.raises(Refusal), transfers.place(packages, clock):
        pass
    with transfers.place(LIMITS, clock):
        pass


def test_the_slowest_reader_makes_room_once_it_has_had_its_time() -> None:
    async def story() -> None:
        transfers, clock = Transfers(), Clock()
        places = [transfers.place(LIMITS, clock) for _ in range(MAX_DOWNLOADS)]
        sending = [place.__enter__() for place in places]
        clock.now += GRACE_SECONDS
        for number, transfer in enumerate(sending):
            transfer.sent = int(FAIR_RATE * GRACE_SECONDS) + number
        with pytest.raises(Refusal), transfers.place(LIMITS, clock):
            pass  # all of them read
        sending[3].sent = 70_000
        sending[5].sent = 60_000

        async def stalled() -> None:
            async with sending[5].within(60):
                await asyncio.Event().wait()

        waiting = asyncio.create_task(stalled())
        await asyncio.sleep(0)
        with transfers.place(LIMITS, clock):
            with pytest.raises(TimeoutError):
                await waiting
            async with sending[3].within(60):
                pass  # slow, too, but not the slowest

    asyncio.run(story())


def test_a_download_that_made_room_between_two_chunks_ends_at_the_next() -> None:
    async def story() -> None:
        transfers, clock = Transfers(), Clock()
        places = [transfers.place(LIMITS, clock) for _ in range(MAX_DOWNLOADS)]
        sending = [place.__enter__() for place in places]
        clock.now += GRACE_SECONDS
        for transfer in sending[1:]:
            transfer.sent = 10**9

        async def next_chunk() -> None:
            async with sending[0].within(3_600):
                await asyncio.Event().wait()

        with transfers.place(LIMITS, clock):
            chunk = asyncio.create_task(next_chunk())
            await asyncio.wait([chunk], timeout=30)
            assert chunk.done() and isinstance(chunk.exception(), TimeoutError)

    asyncio.run(story())


def test_full_downloads_are_refused_by_the_server_while_pages_and_polls_are_answered(tmp_path: Path) -> None:
    async def story() -> None:
        async with seated(tmp_path, admit_everybody) as it:

            @it.app.get("/entries/<entry>/bundle")
            def bundle(entry: str) -> str:
                it.app.config["inside"] += 1
                it.app.config["held"].wait(20)
                return "the bundle"

            held = [asyncio.create_task(it.ask("GET", DOWNLOAD)) for _ in range(MAX_DOWNLOADS)]
            while it.app.config["inside"] == 0:
                await asyncio.sleep(0.005)
            status, headers, body = await it.ask("GET", DOWNLOAD)
            assert (status, headers["retry-after"]) == (503, str(RETRY_SECONDS)) and b"try again" in body
            assert (await it.ask("GET", "/page"))[0] == 200
            assert (await it.ask("GET", "/api/v1/state"))[0] == 200
            it.app.config["held"].set()
            assert [one[0] for one in await asyncio.gather(*held)] == [200] * MAX_DOWNLOADS

    asyncio.run(story())
