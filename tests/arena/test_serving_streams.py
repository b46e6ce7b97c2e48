"""Changes that reach every page by themselves: what is sent, to whom, how often, and to whom no more."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Coroutine, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from arena.server import streams as streams_module
from arena.server.network import raise_descriptor_limit
from arena.server.snapshot import EncodedSnapshot
from arena.server.streams import PER_VOTER, POLL_EVERY, WITHOUT_COOKIE, Streams
from arena.services import voting
from arena.services.identity import identity_of
from arena.web import pushed as web_pushed
from arena.web.cookies import serializer
from arena.web.pushed import PushedPage, PushedPages
from arena.web.refusal import Refusal
from tests.bench.streams import Room, connect, open_and_undo
from tests.support.bundles import verses
from tests.support.evening import Evening, secret_of
from tests.support.pages import Tags
from tests.support.server import BLANK, Wire, within

SOON = 20.0  # seconds, on a machine with every core busy


class Pages:
    """The same page for everybody; the cookie is the voter's name."""

    def key(self, state: EncodedSnapshot) -> str:
        return state.snapshot.phase

    def listener(self, headers: Mapping[str, str]) -> web_pushed.Listener:
        cookie = headers.get("cookie")
        return web_pushed.Listener(identity_of(secret_of(cookie)) if cookie else None)

    def render(self, state: EncodedSnapshot) -> PushedPage:
        if state.snapshot.phase == "broken":
            raise ValueError("as it was told")
        return PushedPage(same={"en": b'event: page\ndata: "' + state.snapshot.phase.encode() + b'"\n\n'})


class Listener:
    """A client of ASGI that reads, until it is told not to."""

    def __init__(self, streams: Streams, cookie: str = "", console: bool = False) -> None:
        self.told: list[tuple[str, Any]] = []
        self.messages = 0
        self.reads = asyncio.Event()
        self.reads.set()
        self.leaves = asyncio.Event()
        headers = [(b"cookie", cookie.encode())] if cookie else []
        self.task = asyncio.create_task(streams.serve({"headers": headers}, self._receive, self._send, console=console))

    async def _receive(self) -> dict[str, Any]:
        await self.leaves.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: dict[str, Any]) -> None:
        await self.reads.wait()
        self.messages += 1
        for name, data in re.findall(r"event: (\w+)\ndata: (.*)\n\n", message.get("body", b"").decode()):
            self.told.append((name, json.loads(data)))

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.told]


def say(streams: Streams, **more: Any) -> None:
    streams.publish(EncodedSnapshot.of(replace(BLANK, **more), now=0.0))


@pytest.fixture
def story() -> Callable[..., None]:
    def run(tell: Callable[[Streams], Coroutine[Any, Any, None]], limit: int = 10_000) -> None:
        async def whole() -> None:
            streams = Streams(Pages(), limit)
            streams.start()
            say(streams)
            try:
                await until(lambda: streams._latest.number == 1)
                await tell(streams)
            finally:
                streams.stop()

        asyncio.run(whole())

    return run


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(SOON):
        while not condition():
            await asyncio.sleep(0.005)


def test_who_begins_to_listen_is_told_the_state_and_after_that_each_change_with_its_page(
    story: Callable[..., None],
) -> None:
    async def tell(streams: Streams) -> None:
        phone = Listener(streams, "ada")
        await until(lambda: phone.told)
        assert phone.names == ["state"]
        say(streams, phase="voting", version=1)
        await until(lambda: len(phone.told) == 3)
        assert [name for name, _ in phone.told[1:]] == ["page", "state"] and phone.told[1][1] == "voting"

    story(tell)


def test_a_page_is_sent_although_a_number_grows_before_anybody_was_told_of_it(story: Callable[..., None]) -> None:
    async def tell(streams: Streams) -> None:
        phone = Listener(streams, "ada")
        await until(lambda: phone.told)
        say(streams, phase="voting", version=1)  # the event loop takes both at its next turn
        say(streams, phase="voting", version=2)
        await until(lambda: phone.told[-1][1] == {**phone.told[-1][1], "version": 2})
        assert phone.names == ["state", "page", "state"] and phone.told[1][1] == "voting"

    story(tell)


def test_numbers_that_grow_are_sent_at_a_bounded_rate_and_the_last_one_is(story: Callable[..., None]) -> None:
    async def tell(streams: Streams) -> None:
        phone = Listener(streams)
        await until(lambda: phone.told)
        for version in range(1, 300):
            say(streams, version=version)
            await asyncio.sleep(0.001)
        await until(lambda: phone.told[-1][1]["version"] == 299)
        assert len(phone.told) < 30 and set(phone.names) == {"state"}

    story(tell)


def test_a_reader_who_does_not_read_misses_what_is_old_and_is_ended(
    story: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams_module, "PATIENCE", 1.0)

    async def tell(streams: Streams) -> None:
        slow, dead = Listener(streams, "slow"), Listener(streams, "dead")
        await until(lambda: slow.told and dead.told)
        slow.reads.clear()
        dead.reads.clear()
        for number in range(50):
            say(streams, phase=f"phase {number}", version=number)
            await asyncio.sleep(0.002)
        slow.reads.set()
        await until(lambda: slow.told[-1][1] == {**slow.told[-1][1], "version": 49})
        assert slow.messages < 6, "what it missed is not kept for it"
        await until(dead.task.done)
        assert len(streams) == 1

    story(tell)


def test_a_connection_is_ended_when_it_was_sent_enough_and_told_so(
    story: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams_module, "STREAM_BYTES", 5_000)

    async def tell(streams: Streams) -> None:
        phone = Listener(streams)
        number = 0
        while not phone.task.done():
            number += 1
            say(streams, phase=f"phase {number}")
            await asyncio.sleep(0.005)
        assert phone.names[-1] == "end" and number > 3

    story(tell)


def test_a_reader_who_does_not_take_the_end_either_holds_no_place(
    story: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams_module, "PATIENCE", 0.2)
    monkeypatch.setattr(streams_module, "STREAM_BYTES", 10)

    class Stops(Listener):
        async def _send(self, message: dict[str, Any]) -> None:
            await super()._send(message)
            if self.messages == 2:  # the head and the state
                self.reads.clear()

    async def tell(streams: Streams) -> None:
        phone = Stops(streams, "ada")
        await until(phone.task.done)
        assert phone.names == ["state"] and len(streams) == 0

    story(tell)


def test_strangers_take_no_place_of_the_console_which_counts_as_no_phone(story: Callable[..., None]) -> None:
    async def tell(streams: Streams) -> None:
        strangers = [Listener(streams) for _ in range(WITHOUT_COOKIE)]
        console, too = Listener(streams, console=True), Listener(streams, "ada", console=True)
        await until(lambda: console.told and too.told and all(one.told for one in strangers))
        assert streams.phones == 0

    story(tell)


def test_those_who_leave_hold_no_place(story: Callable[..., None]) -> None:
    async def tell(streams: Streams) -> None:
        phones = [Listener(streams, f"phone {number}") for number in range(20)]
        await until(lambda: len(streams) == 20)
        assert streams.phones == 20
        for phone in phones:
            phone.leaves.set()
        await until(lambda: len(streams) == 0)
        assert streams.phones == 0

    story(tell)


def test_phones_that_ask_are_counted_as_those_that_listen() -> None:
    now = [100.0]
    streams = Streams(Pages(), 10, lambda: now[0])
    for _ in range(30):
        streams.note_poll()
    now[0] += POLL_EVERY
    assert streams.phones == 30
    now[0] += 2 * POLL_EVERY
    assert streams.phones == 0


def test_places_are_bounded_for_all_for_one_cookie_and_for_those_without(story: Callable[..., None]) -> None:
    async def tell(streams: Streams) -> None:
        for cookie, allowed in (("ada", PER_VOTER), ("", WITHOUT_COOKIE)):
            crowd = [Listener(streams, cookie) for _ in range(allowed + 1)]
            await until(crowd[-1].task.done)
            with pytest.raises(Refusal) as refused:
                await crowd[-1].task
            assert (refused.value.status, refused.value.retry_after) == (503, 30)
        others = [Listener(streams, f"phone {number}") for number in range(120 - len(streams) + 1)]
        await until(others[-1].task.done)
        assert others[-1].task.exception() is not None and len(streams) == 120

    story(tell, limit=120)


def test_a_page_that_cannot_be_made_is_not_sent_and_the_state_is(
    story: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    async def tell(streams: Streams) -> None:
        phone = Listener(streams, "ada")
        await until(lambda: phone.told)
        say(streams, phase="broken")
        await until(lambda: len(phone.told) == 2)
        assert phone.told[-1][1]["phase"] == "broken" and phone.names == ["state", "state"]

    story(tell)
    assert "could not be made" in caplog.text


# What is sent


def test_the_page_of_a_vote_is_sent_in_each_voters_order_and_without_buttons_to_its_authors(tmp_path: Path) -> None:
    evening = Evening(tmp_path / "event").create()
    authors = evening.voting(2)
    pages = PushedPages(evening.app, evening.settings, lambda: evening.now)
    state = EncodedSnapshot.of(evening_snapshot(evening), evening.now)
    page = pages.render(state)
    for number in range(12):
        secret = secret_of(f"voter {number}")
        sent = json.loads(page.for_listener(web_pushed.Listener(identity_of(secret))).partition(b"data: ")[2])
        ballot = voting.get_ballot(evening.db, "r1m1", secret, now=evening.now)
        letters = re.findall(r'<p class="letter (\w)"', sent)
        assert letters == [ballot.left.label.lower(), ballot.right.label.lower()]
        assert sent.count("<button") == 2 and 'name="token" value=""' in sent and "Which verse" in sent
        assert not any(author.name in Tags(sent).text for author in authors)
    for author in authors:
        sent = page.for_listener(web_pushed.Listener(identity_of(author.secret))).decode()
        assert "<button" not in sent and "One of these verses is yours" in sent
    evening.end()


def evening_snapshot(evening: Evening) -> Any:
    from arena.services import queries

    return queries.snapshot(evening.db, now=evening.now)


def test_a_cookie_that_was_not_signed_here_is_nobodys(tmp_path: Path) -> None:
    evening = Evening(tmp_path / "event").create()
    pages = PushedPages(evening.app, evening.settings, lambda: evening.now)
    good = serializer(evening.settings, "voter").dumps(secret_of("ada"))
    assert pages.listener({"cookie": f"t={good}"}).voter == identity_of(secret_of("ada"))
    for bad in ("", "t=", f"t={good}x", "t=ada", "t=\xff\xfe", f"x={good}"):
        assert pages.listener({"cookie": bad}).voter is None
    evening.end()


# On a real server


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Evening]:
    served = Evening(tmp_path_factory.mktemp("room") / "event", now=None).begin()
    served.drawn(verses(2))
    served.serve()
    yield served
    served.end()


@pytest.mark.slow
def test_every_change_reaches_all_of_many_phones_and_each_of_them_once(room: Evening) -> None:
    count = min(1_000, raise_descriptor_limit() // 4)
    phones = Room(connect(room, room.port, count))
    with phones.reading():
        for _ in range(2):
            phones.pages.clear()
            open_and_undo(room)
            assert within(SOON, lambda: len(phones.pages) >= count)
    assert len(phones.pages) == count and phones.gone == 0


@pytest.mark.slow
def test_phones_that_do_not_read_hold_little_memory_and_delay_nobody(room: Evening) -> None:
    assert room.server is not None
    web = room.server.children["web"]
    before = web.memory_info().rss
    silent = connect(room, room.port, 200, name="silent")
    phones = Room(connect(room, room.port, 20, name="honest"))
    with phones.reading():
        for number in range(6):
            open_and_undo(room)
            assert within(SOON, lambda number=number: len(phones.pages) == 20 * (number + 1))
    assert web.memory_info().rss - before < 200 * 200_000
    for phone in silent:
        phone.socket.close()


@pytest.mark.slow
def test_the_console_and_the_stage_hear_of_changes_too(room: Evening) -> None:
    assert room.server is not None
    for port in (room.server.port, room.server.console_port):
        wire = Wire(port).send("GET /api/v1/events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        data = b""
        for count in (1, 2):
            while data.count(b"event: state") < count:
                chunk = wire.socket.recv(65_536)
                assert chunk, data
                data += chunk
            if count == 1:
                open_and_undo(room)
        assert b"text/event-stream" in data and b"event: page" not in data
        wire.close()


@pytest.mark.slow
def test_a_server_with_listeners_ends_at_once(tmp_path: Path) -> None:
    served = Evening(tmp_path / "event", now=None).begin()
    served.serve()
    listening = connect(served, served.port, 50)
    assert served.server is not None
    served.end()
    assert served.server.said("Killing") is None, "the web process was ended by force"
    for phone in listening:
        phone.socket.close()


@pytest.mark.campaign
def test_a_change_is_on_ten_thousand_phones_within_a_second(tmp_path: Path) -> None:
    raise_descriptor_limit()
    from tests.bench.streams import measure_changes

    seconds = measure_changes(tmp_path / "event", 10_000)
    assert sorted(seconds)[int(0.99 * len(seconds))] <= 1.0
