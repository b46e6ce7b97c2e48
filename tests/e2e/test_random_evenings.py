"""Whole evenings with random clients and kills: whatever they do, what was promised is kept, each second."""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import psutil
import pytest
from sqlalchemy import func, select

from arena.errors import ArenaError
from arena.rehearsal.author import AUTHOR_HABITS, Author
from arena.rehearsal.connection import Address
from arena.rehearsal.ledger import Ledger
from arena.rehearsal.measurements import Measurements
from arena.rehearsal.phone import HABITS, Phone, Room
from arena.rehearsal.promises import Known, compare
from arena.rules.lifecycle import UNDECIDED
from arena.server.network import PortTaken, free_port
from arena.services import bracket, disqualification, drawing, events, queries
from arena.services.entries import entry_status
from arena.services.schemas import EventRules
from arena.store.schema import Entry
from tests.support.bundles import forged_verse, undecided_verse, verse
from tests.support.evening import Evening
from tests.support.mischief import Mischief
from tests.support.server import within

pytestmark = [pytest.mark.slow, pytest.mark.skipif(os.name != "posix", reason="kill -9")]
CAMPAIGN = Path(__file__).parents[2] / "campaign" / "random_evenings.json"
CAMPAIGN_MINUTES = float(os.environ.get("CAMPAIGN_MINUTES", "60"))
ROOM_ON_DISK = 100 * 2**20  # bytes that the event may use, beyond what its disk keeps free
SLACK = 64 * 2**20  # bytes that others may free and use between two looks
AT_LAST = 600.0  # seconds for verdicts, for votes, and for a killed server, beside other programs
MOST = 0.6  # of the phones, that vote before a match is closed
NO_SPACE = re.compile(r"(claims|pieces|floods|races|garbage|damaged): answer 507")
KILLS_WITHIN = 4.0  # seconds from the beginning of a phase
T = TypeVar("T")


@dataclass(frozen=True)
class Size:
    """How long and how large an evening is."""

    phones: int = 25
    authors: int = 6
    entering: float = 6.0  # seconds
    voting: float = 4.0  # seconds within which the phones vote on a match
    matches: int = 5  # after which the evening ends
    kills: int = 2
    targets: tuple[str, ...] = ("main", "web", "verifying")


SMALL = Size(phones=8, authors=4, entering=2.0, voting=2.0, matches=1, kills=1, targets=("verifying",))


@dataclass
class RandomEvening:
    """One evening of random clients, checked each second."""

    evening: Evening
    size: Size
    seed: int
    ledger: Ledger = field(default_factory=Ledger)
    measurements: Measurements = field(default_factory=Measurements)
    room: Room = field(default_factory=Room)
    faults: list[str] = field(default_factory=list)
    checks: int = 0
    kills: list[str] = field(default_factory=list)
    most_room: int = 0  # bytes that this event has had on its disk, at most

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        self._one_kill = asyncio.Lock()
        self._killing: list[asyncio.Task[None]] = []
        phases = range(1 + self.size.matches)
        self._kills_in = [self.rng.choice(phases) for _ in range(self.size.kills)]
        self.address = Address("127.0.0.1", self.evening.port)

    async def play(self) -> None:
        """Play it; raises what a client of ours did wrong."""
        mischief = Mischief(self.address, self.room, self.ledger, self.measurements, random.Random(self.rng.random()))
        authors = [self._author(number) for number in range(self.size.authors)]
        jobs = [self._check_each_second(), *(job() for job in mischief.all)]
        jobs += [self._phone(number).run() for number in range(self.size.phones)]
        tasks = [asyncio.create_task(job) for job in jobs]  # type: ignore[arg-type]
        entering = [asyncio.create_task(author.run()) for author in authors]
        try:
            self._begin_phase(0)
            await asyncio.sleep(self.size.entering)
            async with asyncio.timeout(AT_LAST):
                entered = await asyncio.gather(*entering)
            await self._wait_for_verdicts()
            await self._direct(events.close_submissions)
            if sum(entered[2:]) >= 2:  # those who are greedy may have taken every place, or all of the disk
                await self._vote()
            self.room.open = False
            async with asyncio.timeout(AT_LAST):
                await asyncio.gather(*tasks, *self._killing)
        finally:
            self.room.open = False
            for task in (*tasks, *entering, *self._killing):
                task.cancel()
            await asyncio.gather(*tasks, *entering, *self._killing, return_exceptions=True)
            mischief.close()
            await asyncio.sleep(0.1)  # in which connections that were cut are closed
        self._check(final=True)
        self._check_authors([author for author, done in zip(authors, entered, strict=True) if done])

    def _author(self, number: int) -> Author:
        bundle = {0: undecided_verse, 1: lambda: forged_verse(self.seed % 50)}.get(number, lambda: verse(number))()
        habit = self.rng.choice([None, *AUTHOR_HABITS])
        return Author(
            self.address,
            self.ledger,
            self.measurements,
            random.Random(self.rng.random()),
            f"Author {number}",
            bundle,
            habit=habit,
            arrives=self.rng.uniform(0.0, self.size.entering / 3),  # before others have taken all places
        )

    def _phone(self, number: int) -> Phone:
        habit = self.rng.choice([None, *HABITS])
        arrives = self.rng.uniform(0.0, self.size.entering)
        own = random.Random(self.rng.random())
        return Phone(self.address, self.room, self.ledger, self.measurements, own, arrives=arrives, habit=habit)

    async def _direct(self, function: Callable[..., T], *args: Any, **more: Any) -> T:
        return await asyncio.to_thread(function, self.evening.db, *args, **more, now=time.time())

    async def _wait_for_verdicts(self) -> None:
        """Wait for the entries with all their bytes; those that were only claimed are left out of the draw."""
        deadline = time.monotonic() + 2 * AT_LAST
        while time.monotonic() < deadline:
            entries = await asyncio.to_thread(queries.list_entries, self.evening.db)
            states = {entry.entry: entry.state for entry in entries}
            complete = [one.entry for one in self.ledger.entries.values() if one.complete]
            if not any(states.get(entry) in UNDECIDED for entry in complete):
                return
            await asyncio.sleep(0.1)
        self.faults.append(f"complete entries had no verdict after {2 * AT_LAST:g} seconds")

    async def _vote(self) -> None:
        """Draw, and hold matches as an organizer does who sometimes changes their mind."""
        rng, loop = self.rng, asyncio.get_running_loop()
        try:
            await self._direct(drawing.draw_bracket, word="random", without_missing=True)
        except ArenaError as error:
            self.faults.append(f"the bracket was not drawn: {error}")
            return
        for phase in range(1, 1 + self.size.matches):
            match = await self._direct(queries.get_next_match)
            if match is None:
                break
            await self._direct(bracket.open_match, match.id, seconds=0)
            voted = sum(self.room.voted.values())
            self.room.votes_until = loop.time() + self.size.voting
            self._begin_phase(phase)
            deadline = loop.time() + AT_LAST
            while sum(self.room.voted.values()) < voted + self.size.phones * MOST and loop.time() < deadline:
                await asyncio.sleep(0.1)
            if loop.time() >= deadline:
                self.faults.append(f"only {sum(self.room.voted.values()) - voted} phones could vote on {match.id}")
            choice = rng.random()
            if choice < 0.15:
                await self._direct(bracket.undo_match, match.id)
                continue
            if choice < 0.3:
                sides = [side.entry for side in (match.upper, match.lower) if side is not None]
                reason = "to see what happens"
                await self._direct(disqualification.disqualify, rng.choice(sides), reason=reason)
                continue
            opened = await self._direct(queries.get_open_match)
            while opened is not None:
                poll_round = opened.poll_round
                await self._direct(bracket.close_match, opened.id, poll_round=poll_round, by_lot=True)
                opened = await self._direct(queries.get_open_match)
                if opened is not None and opened.poll_round == poll_round:
                    break

    async def _check_each_second(self) -> None:
        while self.room.open:
            await asyncio.sleep(1.0)
            await asyncio.to_thread(self._check, Known.of(self.ledger))

    def _check(self, known: Known | None = None, *, final: bool = False) -> None:
        """Compare what was promised with what is there."""
        event = self.evening.event
        comparison = compare(event, known or Known.of(self.ledger), final=final)
        # a disk with little space is part of the evening: who enters is told so
        unforeseen = [line for line in self.measurements.broken if not NO_SPACE.fullmatch(line)]
        self.faults += comparison.broken + unforeseen
        self.measurements.broken.clear()
        with event.db.reading() as session:
            missing = select(func.sum(Entry.size - Entry.received)).where(Entry.state == "receiving")
            promised = session.scalar(missing) or 0
        used = self._used_bytes()
        self.most_room = max(self.most_room, used + event.spool.free_bytes())
        if used + promised > self.most_room + SLACK:
            self.faults.append(f"{used + promised:,} bytes were promised, and the disk had room for {self.most_room:,}")
        self.checks += 1

    def _used_bytes(self) -> int:
        """The bytes of bundles and parts on the disk."""
        used = 0
        for folder in (self.evening.settings.bundles, self.evening.settings.incoming):
            for path in folder.iterdir():
                with suppress(FileNotFoundError):  # it has just been moved, or dropped
                    used += path.stat().st_size
        return used

    def _check_authors(self, authors: list[Author]) -> None:
        """Every honest verse has its right verdict, whoever was killed meanwhile."""
        for author in authors:
            wanted = {"Author 0": ("refused",), "Author 1": ("refused",)}.get(author.name, ("verified", "disqualified"))
            state = entry_status(self.evening.db, author.entry, author.secret, now=time.time()).state
            if state not in wanted:
                self.faults.append(f"the verse of {author.name} is {state}")

    def _begin_phase(self, phase: int) -> None:
        """Kill processes of the server at random moments of this phase; the main process is started again."""
        for _ in range(self._kills_in.count(phase)):
            after, target = self.rng.uniform(0.0, KILLS_WITHIN), self.rng.choice(self.size.targets)
            self._killing.append(asyncio.create_task(self._kill_after(after, target)))

    async def _kill_after(self, seconds: float, target: str) -> None:
        await asyncio.sleep(seconds)
        async with self._one_kill:
            await asyncio.to_thread(self._kill, target)

    def _kill(self, target: str) -> None:
        server = self.evening.server
        assert server is not None
        if target == "main":
            server.kill()
            server.end()
            assert within(AT_LAST, self._port_is_free)
            serve(self.evening)
        else:
            child = server.children.get(target)
            if child is None:  # it was killed a moment ago
                return
            try:
                child.kill()
            except psutil.NoSuchProcess:
                return
            assert within(AT_LAST, self.evening.server.answers)  # type: ignore[union-attr]
        self.kills.append(target)

    def _port_is_free(self) -> bool:
        try:
            return free_port("127.0.0.1", self.evening.port) > 0
        except PortTaken:
            return False


def play(folder: Path, seed: int, size: Size) -> RandomEvening:
    """Play one evening, and return it with what went wrong."""
    folder.mkdir(parents=True, exist_ok=True)
    free = psutil.disk_usage(str(folder)).free
    settings = {"min_free_bytes": max(0, free - ROOM_ON_DISK)}
    evening = Evening(folder / "event", now=None, **settings).begin(EventRules(max_entries=100, grace_seconds=60))
    try:
        serve(evening)
        played = RandomEvening(evening, size, seed)
        asyncio.run(played.play())
        assert evening.server is not None
        played.faults += server_faults(evening.server.lines)
        return played
    finally:
        evening.end()


def serve(evening: Evening) -> None:
    """Start the server, however busy the machine is."""
    deadline = time.monotonic() + AT_LAST
    while True:
        try:
            evening.serve()
            return
        except AssertionError:
            if time.monotonic() > deadline:
                raise


def server_faults(lines: list[str]) -> list[str]:
    """What the server printed from each unforeseen error on."""
    return ["\n".join(lines[at : at + 40]) for at, line in enumerate(lines) if line.startswith("Traceback")]


def test_a_random_evening_keeps_every_promise(tmp_path: Path) -> None:
    played = play(tmp_path, seed=1, size=SMALL)
    assert not played.faults, played.faults[:10]
    assert sum(1 for _ in played.ledger.acknowledged) >= MOST * SMALL.phones
    assert len(played.ledger.entries) > SMALL.authors and played.checks > 3
    assert len(played.kills) == SMALL.kills
    tried = {kind for kind, one in played.measurements.kinds.items() if one.count}
    assert tried >= {"flips", "floods", "races", "theft", "garbage", "forged votes", "odd votes", "withdrawals"}


@pytest.mark.campaign
def test_an_hour_of_random_evenings_keeps_every_promise(tmp_path: Path) -> None:
    """What is done is kept in campaign/random_evenings.json; the next call continues with the next seed."""
    CAMPAIGN.parent.mkdir(exist_ok=True)
    counts = ("seconds", "evenings", "checks", "votes", "entries", "kills", "requests")
    done: dict[str, Any] = {**dict.fromkeys(counts, 0), "next seed": 1, "faults": []}
    if CAMPAIGN.exists():
        done = json.loads(CAMPAIGN.read_text())
    while done["seconds"] < 60 * CAMPAIGN_MINUTES:
        started, seed = time.monotonic(), done["next seed"]
        played = play(tmp_path / str(seed), seed, Size())
        for name, value in {
            "seconds": time.monotonic() - started,
            "evenings": 1,
            "checks": played.checks,
            "votes": sum(1 for _ in played.ledger.acknowledged),
            "entries": len(played.ledger.entries),
            "kills": len(played.kills),
            "requests": sum(one.count for one in played.measurements.kinds.values()),
        }.items():
            done[name] += value
        done["faults"] += [[seed, fault] for fault in dict.fromkeys(played.faults)]  # the next evening is played anyway
        done["next seed"] = seed + 1
        CAMPAIGN.write_text(json.dumps(done, indent=1))
        shutil.rmtree(tmp_path / str(seed))
    assert not done["faults"], done["faults"][:20]
