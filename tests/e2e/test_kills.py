"""Processes killed at random moments of an evening: it comes to the same champion, and nothing confirmed is lost."""

from __future__ import annotations

import hashlib
import os
import random
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import psutil
import pytest
from itsdangerous import URLSafeSerializer
from sqlalchemy import select

from arena.services import bracket, views
from arena.services.entries import entry_status
from arena.services.identity import voter_id_of
from arena.services.log import verify_chain
from arena.store.engine import reading
from arena.store.schema import Match, Vote
from arena.voters import Form, Phone, VoterError
from arena.web.security import _SIGNER
from arena.web.serving import PortTaken, free_port
from tests.arena.evening import Evening, secret_of, verses
from tests.arena.served import ask, within
from tests.e2e.house import House
from trainer.errors import EventRefused, UploadError
from trainer.submission.http_client import Address, EventClient
from trainer.submission.upload import send_bundle

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.name != "posix", reason="kill -9")]
POETS, VOTERS = 8, 5  # an odd number votes, so no lot decides
AT_LAST = 120.0  # seconds for anything to work again; a lease alone lasts 30
TARGETS = ("main", "web", "verifying", "check")


def key_of(text: str) -> str:
    """A verse without its spaces, which pages set anew."""
    return re.sub(r"\s", "", text)


def favourite(voter: int, texts: list[str]) -> str:
    """The verse that a voter likes best: the same in every evening, on whichever side it is shown."""
    return max(texts, key=lambda text: hashlib.sha256(f"{voter}|{key_of(text)}".encode()).digest())


@cache
def undisturbed(folder: Path) -> tuple[tuple[str, str], ...]:
    """The winner of each match when nothing goes wrong, through the services alone."""
    evening = Evening(folder)
    evening.begin()
    evening.drawn(verses(POETS))
    while (view := views.console_view(evening.db, now=evening.now)).champion is None:
        match = view.next
        assert match is not None
        bracket.open_match(evening.db, match.id, now=evening.now)
        shown = views.console_view(evening.db, now=evening.now).open
        assert shown is not None and shown.upper is not None and shown.lower is not None
        texts = [shown.upper.text or "", shown.lower.text or ""]
        for voter in range(VOTERS):
            evening.vote(f"voter{voter}", match.id, favourite(voter, texts))
        bracket.close_match(evening.db, match.id, now=evening.now)
    found = winners(evening.db)
    evening.dispose()
    return found


def winners(db: Any) -> tuple[tuple[str, str], ...]:
    view = views.console_view(db, now=time.time())
    assert view.champion is not None
    return (*((match.id, match.winner or "") for match in view.matches), ("champion", view.champion.entry))


class Sides(HTMLParser):
    """The verses of a voting page by side, and which of them has this voter's vote."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.voted: int | None = None
        self._depth = 0
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        kind = dict(attrs).get("class") or ""
        if tag == "div" and kind.split()[:1] == ["verse"]:
            self.texts.append("")
            self._depth = 1
        elif tag == "p" and kind == "voted":
            self.voted = len(self.texts) - 1

    def handle_endtag(self, tag: str) -> None:
        if tag == "div":
            self._depth = 0

    def handle_data(self, data: str) -> None:
        if self._depth:
            self.texts[-1] += data


@dataclass
class Killer:
    """Kills at chosen steps of the evening, a moment after each begins, and starts the server again."""

    house: House
    rng: random.Random
    moments: dict[int, str]  # step of the evening, and whom to kill there
    step: int = 0
    killed: list[str] = field(default_factory=list)
    _threads: list[threading.Thread] = field(default_factory=list)

    def next_step(self) -> None:
        """Called as a step begins."""
        target = self.moments.get(self.step)
        self.step += 1
        if target is not None:
            self.finish()
            thread = threading.Thread(target=self._kill, args=(target, self.rng.uniform(0, 0.08)))
            self._threads.append(thread)
            thread.start()

    def finish(self) -> None:
        for thread in self._threads:
            thread.join()

    def _kill(self, target: str, after: float) -> None:
        threading.Event().wait(after)  # the moment
        process = self.house.process
        assert process is not None
        if target == "main":
            process.kill()
            process.end()
            assert within(AT_LAST, self._port_is_free)
            self.killed.append("main")
            self.house.serve()
            return
        found: list[psutil.Process] = []
        within(2 if target == "check" else AT_LAST, lambda: found.extend(self._find(target)) or found)
        if not found:  # nothing is being checked now
            within(AT_LAST, lambda: found.extend(self._find("verifying")) or found)
        for child in found[:1]:
            try:
                child.kill()
            except psutil.NoSuchProcess:
                continue
            self.killed.append(target)

    def _port_is_free(self) -> bool:
        try:
            return free_port("127.0.0.1", self.house.port) > 0
        except PortTaken:
            return False

    def _find(self, target: str) -> list[psutil.Process]:
        word = {"web": "spawn_main", "verifying": "arena.worker", "check": "arena.replay_child"}[target]
        assert self.house.process is not None
        found = []
        try:
            children = psutil.Process(self.house.process.popen.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []
        for child in children:
            try:
                if word in " ".join(child.cmdline()):
                    found.append(child)
            except psutil.Error:  # it has just ended
                continue
        return found


def enter(house: House, folder: Path, number: int, killer: Killer) -> str:
    """Submit as a person does who runs the same command again when it fails."""
    path = folder / f"{number}.verse"
    path.write_bytes(verses(POETS)[number])
    name = f"poet{number}"
    deadline = time.monotonic() + AT_LAST
    killer.next_step()
    while True:
        address = Address.parse(house.url)
        client = EventClient(address, secret_of(name))
        try:
            return send_bundle(path, client, name, address.url).id
        except EventRefused:
            raise
        except UploadError:
            assert time.monotonic() < deadline
        finally:
            client.close()


def vote(phone: Phone, voter: int, match: str, killer: Killer) -> str:
    """Vote as a person does who reloads the page until it says that the vote is in; the verse voted for."""
    deadline = time.monotonic() + AT_LAST
    killer.next_step()
    while time.monotonic() < deadline:
        try:
            page = phone.get("/")
            form, sides = Form(page, "/vote"), Sides(page)
            if form.fields.get("match") != match or len(sides.texts) != 2:
                continue
            wanted = favourite(voter, sides.texts)
            if sides.voted is None or sides.texts[sides.voted] != wanted:
                side = ("left", "right")[sides.texts.index(wanted)]
                sides = Sides(phone.post("/vote", {**form.fields, "side": side}))
            if sides.voted is not None and sides.texts[sides.voted] == wanted:
                return wanted
        except VoterError:
            threading.Event().wait(0.1)
    raise AssertionError(f"no vote on {match} was taken within {AT_LAST:g} seconds")


def secret_in(phone: Phone, house: House) -> str:
    """The secret of a phone, from its cookie."""
    [cookie] = [cookie for cookie in phone.cookies if cookie.name == "t"]
    key = URLSafeSerializer(house.settings.secret_key, salt="verse-voter-1", signer_kwargs=_SIGNER)
    return str(key.loads(cookie.value or ""))


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path / "event")
    house.open()
    house.serve()
    yield house
    house.end()


def play_with_kills(house: House, folder: Path, kills: int, seed: int) -> None:
    rng = random.Random(seed)
    matches = POETS  # POETS - 1, and the one for third place
    entering, voting = rng.sample(range(POETS), kills - kills // 2), rng.sample(range(matches * VOTERS), kills // 2)
    # While verses enter, anybody may be killed; while the room votes, who has to do with it.
    moments = {step: TARGETS[(seed + at) % 4] for at, step in enumerate(entering)}
    moments |= {POETS + step: ("web", "main")[(seed + at) % 2] for at, step in enumerate(voting)}
    killer = Killer(house, rng, moments)
    entries = [enter(house, folder, number, killer) for number in range(POETS)]
    killer.finish()
    done = within(AT_LAST, lambda: not views.console_view(house.db, now=time.time()).pending)
    assert done, house.process and house.process.lines
    for number, entry in enumerate(entries):  # every acknowledged entry is there, and in
        assert entry_status(house.db, entry, secret_of(f"poet{number}"), now=time.time()).state == "verified"
    house.close()
    bracket.draw_bracket(house.db, now=time.time())

    phones = [Phone(house.url) for _ in range(VOTERS)]
    confirmed: list[tuple[str, int, str]] = []
    while (view := views.console_view(house.db, now=time.time())).champion is None:
        assert view.next is not None
        match = bracket.open_match(house.db, view.next.id, seconds=0, now=time.time())
        confirmed += [(match.id, n, vote(phone, n, match.id, killer)) for n, phone in enumerate(phones)]
        bracket.close_match(house.db, match.id, now=time.time())
    killer.finish()

    assert len(killer.killed) == kills, killer.killed
    assert winners(house.db) == undisturbed(folder / "undisturbed")
    assert len(confirmed) == matches * VOTERS
    voters = [voter_id_of(secret_in(phone, house)) for phone in phones]
    with reading(house.db) as session:
        rows = session.scalars(select(Vote)).all()
        counted = {(row.match_id, row.voter_id): row.choice for row in rows}
        sides = {match.id: match for match in session.scalars(select(Match))}
    assert len(rows) == len(counted) == len(confirmed)  # every confirmed vote is there, once
    texts = {one.entry: one.text for one in views.console_view(house.db, now=time.time()).entries}
    for match_id, number, text in confirmed:
        choice = counted[match_id, voters[number]]
        chosen = sides[match_id].upper_id if choice == "upper" else sides[match_id].lower_id
        assert key_of(texts[chosen or ""]) == key_of(text)
    assert verify_chain(house.db) > 0


def test_two_kills_change_nothing(house: House, tmp_path: Path) -> None:
    (tmp_path / "undisturbed").mkdir()
    play_with_kills(house, tmp_path, kills=2, seed=3)


@pytest.mark.campaign
@pytest.mark.parametrize("seed", [11, 12, 13])
def test_ten_kills_change_nothing(house: House, tmp_path: Path, seed: int) -> None:
    (tmp_path / "undisturbed").mkdir()
    play_with_kills(house, tmp_path, kills=10, seed=seed)


def test_a_web_process_killed_as_soon_as_it_starts_does_not_end_the_server(house: House) -> None:
    killer = Killer(house, random.Random(0), {0: "web", 1: "web", 2: "web"})
    for _ in range(3):
        killer.next_step()  # each waits for the one before, and for a web process to kill
    killer.finish()
    assert killer.killed == ["web"] * 3
    assert within(AT_LAST, lambda: _answers(house))
    assert house.process is not None and house.process.popen.poll() is None


def _answers(house: House) -> bool:
    try:
        return ask(house.port, "GET /api/state")[0] == 200
    except OSError:
        return False
