"""Processes killed at random moments of an event: the champion is the same, and no confirmed vote or entry is lost."""

from __future__ import annotations

import hashlib
import http.client
import json
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
from sqlalchemy import select

from arena.demo.simulated_voters import Form, SimulatedVoter, VoterError
from arena.server.network import PortTaken, free_port
from arena.services import bracket, drawing, queries
from arena.services.entries import entry_status
from arena.services.identity import identity_of
from arena.services.log import verify_log
from arena.store.schema import LogRecord, Match, Vote
from arena.web.cookies import serializer
from arena.web.routes import STATE
from tests.support.bundles import verses
from tests.support.evening import WORD, Evening, secret_of
from tests.support.server import ROOT, within
from trainer.errors import EventRefused, UploadError
from trainer.submission.event import fetch_event
from trainer.submission.http_client import Address, EventClient
from trainer.submission.upload import send_bundle

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.name != "posix", reason="kill -9")]
POETS, VOTERS = 8, 5  # an odd number votes, so no lot decides
AT_LAST = 120.0  # seconds for anything to work again; a lease alone lasts 30
SILENT_WITHIN = 1.0  # seconds after the death of the main process; nothing of it answers any more
CAMPAIGN_EVENINGS, CAMPAIGN_KILLS = 20, 10  # 200 kills in all
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
    while (view := queries.console_view(evening.db, now=evening.now)).champion is None:
        match = view.next
        assert match is not None
        bracket.open_match(evening.db, match.id, now=evening.now)
        shown = queries.console_view(evening.db, now=evening.now).open
        assert shown is not None and shown.upper is not None and shown.lower is not None
        texts = [shown.upper.text or "", shown.lower.text or ""]
        for voter in range(VOTERS):
            evening.vote(f"voter{voter}", match.id, favourite(voter, texts))
        bracket.close_match(evening.db, match.id, poll_round=0, now=evening.now)
    result = winners(evening.db)
    evening.end()
    return result


def winners(db: Any) -> tuple[tuple[str, str], ...]:
    view = queries.console_view(db, now=time.time())
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

    served: Evening
    rng: random.Random
    moments: dict[int, str]  # step of the evening, and whom to kill there
    step: int = 0
    killed: list[str] = field(default_factory=list)
    answered: list[float] = field(default_factory=list)  # seconds for which something of a dead main process answered
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
        if target == "main":
            self._kill_main()
            self.killed.append("main")
            self.served.serve()
            return
        targets: list[psutil.Process] = []
        within(2 if target == "check" else AT_LAST, lambda: targets.extend(self._find(target)) or targets)
        if not targets:  # nothing is being checked now
            within(AT_LAST, lambda: targets.extend(self._find("verifying")) or targets)
        for child in targets[:1]:
            try:
                child.kill()
            except psutil.NoSuchProcess:
                continue
            self.killed.append(target)

    def _kill_main(self) -> None:
        """Kill the main process, and measure for how long its children answer, until all have ended."""
        assert self.served.server is not None
        family = psutil.Process(self.served.server.popen.pid).children(recursive=True)
        self.served.server.kill()
        died = time.monotonic()
        answered = 0.0
        while any(_is_alive(one) for one in family) or not self._port_is_free():
            if _answers(self.served.port):
                answered = time.monotonic() - died
            assert time.monotonic() - died < AT_LAST
        self.answered.append(answered)
        self.served.server.end()

    def _port_is_free(self) -> bool:
        try:
            return free_port("127.0.0.1", self.served.port) > 0
        except PortTaken:
            return False

    def _find(self, target: str) -> list[psutil.Process]:
        word = {"web": "spawn_main", "verifying": "arena.worker", "check": "arena.verification.child"}[target]
        assert self.served.server is not None
        targets = []
        try:
            children = psutil.Process(self.served.server.popen.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []
        for child in children:
            try:
                if word in " ".join(child.cmdline()):
                    targets.append(child)
            except psutil.Error:  # it has just ended
                continue
        return targets


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=0.2)
    try:
        connection.request("GET", STATE.path)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def enter(served: Evening, folder: Path, number: int, killer: Killer) -> str:
    """Submit as a person does who runs the same command again when it fails."""
    path = folder / f"{number}.verse"
    path.write_bytes(verses(POETS)[number])
    name = f"poet{number}"
    deadline = time.monotonic() + AT_LAST
    killer.next_step()
    while True:
        address = Address.parse(served.url)
        client = EventClient(address, secret_of(name))
        try:
            return send_bundle(path, client, name, fetch_event(client)).id
        except EventRefused:
            raise
        except UploadError:
            assert time.monotonic() < deadline
        finally:
            client.close()


def vote(phone: SimulatedVoter, voter: int, match: str, killer: Killer) -> str:
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


def secret_in(phone: SimulatedVoter, served: Evening) -> str:
    """The secret of a phone, from its cookie."""
    [cookie] = [cookie for cookie in phone.cookies if cookie.name == "t"]
    key = serializer(served.settings, "voter")
    return str(key.loads(cookie.value or ""))


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Evening]:
    served = Evening(tmp_path / "event", now=None).begin()
    served.serve()
    yield served
    served.end()


def play_with_kills(served: Evening, folder: Path, kills: int, seed: int) -> Killer:
    """Play an evening with kills, and check that nothing of it was lost or happened twice."""
    rng = random.Random(seed)
    matches = POETS  # POETS - 1, and the one for third place
    entering, voting = rng.sample(range(POETS), kills - kills // 2), rng.sample(range(matches * VOTERS), kills // 2)
    # While verses enter, anybody may be killed; while the room votes, who has to do with it.
    moments = {step: TARGETS[(seed + at) % 4] for at, step in enumerate(entering)}
    moments |= {POETS + step: ("web", "main")[(seed + at) % 2] for at, step in enumerate(voting)}
    killer = Killer(served, rng, moments)
    entries = [enter(served, folder, number, killer) for number in range(POETS)]
    killer.finish()
    verified = within(AT_LAST, lambda: not queries.console_view(served.db, now=time.time()).pending)
    assert verified, served.server and served.server.lines
    for number, entry in enumerate(entries):  # every acknowledged entry is there, and in
        assert entry_status(served.db, entry, secret_of(f"poet{number}"), now=time.time()).state == "verified"
    served.close()
    drawing.draw_bracket(served.db, word=WORD, now=time.time())

    phones = [SimulatedVoter(served.url) for _ in range(VOTERS)]
    confirmed: list[tuple[str, int, str]] = []
    while (view := queries.console_view(served.db, now=time.time())).champion is None:
        assert view.next is not None
        match = bracket.open_match(served.db, view.next.id, seconds=0, now=time.time())
        confirmed += [(match.id, n, vote(phone, n, match.id, killer)) for n, phone in enumerate(phones)]
        bracket.close_match(served.db, match.id, poll_round=0, now=time.time())
    killer.finish()

    assert len(killer.killed) == kills, killer.killed
    assert winners(served.db) == undisturbed(folder / "undisturbed")
    assert len(confirmed) == matches * VOTERS
    voters = [identity_of(secret_in(phone, served)).voter_id for phone in phones]
    with served.db.reading() as session:
        rows = session.scalars(select(Vote)).all()
        counted = {(row.match_id, row.voter_id): row.choice for row in rows}
        sides = {match.id: match for match in session.scalars(select(Match))}
    assert len(rows) == len(counted) == len(confirmed)  # every confirmed vote is there, once
    texts = {one.entry: one.text for one in queries.console_view(served.db, now=time.time()).entries}
    for match_id, number, text in confirmed:
        choice = counted[match_id, voters[number]]
        chosen = sides[match_id].upper_id if choice == "upper" else sides[match_id].lower_id
        assert key_of(texts[chosen or ""]) == key_of(text)
    assert verify_log(served.db) > 0
    counts = [json.loads(record.data) for record in counted_votes(served)]
    assert len(counts) == len({(count["match"], count["poll"]) for count in counts}) == matches  # none decided twice
    assert max(killer.answered, default=0.0) < SILENT_WITHIN, killer.answered
    return killer


def counted_votes(served: Evening) -> list[LogRecord]:
    """The records of votes that were counted."""
    with served.db.reading() as session:
        return list(session.scalars(select(LogRecord).where(LogRecord.kind == "votes-counted")))


def test_two_kills_change_neither_votes_nor_champion(served: Evening, tmp_path: Path) -> None:
    (tmp_path / "undisturbed").mkdir()
    play_with_kills(served, tmp_path, kills=2, seed=3)


@pytest.mark.campaign
@pytest.mark.parametrize("seed", range(CAMPAIGN_EVENINGS))
def test_two_hundred_kills_change_neither_votes_nor_champion(served: Evening, tmp_path: Path, seed: int) -> None:
    """Ten kills an evening. What each met is in campaign/kills.json, and is not played again."""
    path = ROOT / "campaign" / "kills.json"
    path.parent.mkdir(exist_ok=True)
    played: dict[str, Any] = json.loads(path.read_text("utf-8")) if path.exists() else {}
    if str(seed) in played:
        pytest.skip("played already: remove campaign/kills.json to play it again")
    (tmp_path / "undisturbed").mkdir()
    killer = play_with_kills(served, tmp_path, CAMPAIGN_KILLS, seed)
    played[str(seed)] = {"killed": killer.killed, "answered": [round(seconds, 3) for seconds in killer.answered]}
    path.write_text(json.dumps(played, indent=1), "utf-8")


def test_a_web_process_killed_as_soon_as_it_starts_does_not_end_the_server(served: Evening) -> None:
    killer = Killer(served, random.Random(0), {0: "web", 1: "web", 2: "web"})
    for _ in range(3):
        killer.next_step()  # each waits for the one before, and for a web process to kill
    killer.finish()
    assert killer.killed == ["web"] * 3
    assert served.server is not None
    assert within(AT_LAST, served.server.answers)
    assert served.server.popen.poll() is None
