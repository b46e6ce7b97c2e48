"""The evening of a rehearsal: authors enter, the room votes on every match, and the results are published."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from arena.bootstrap import EventContext
from arena.rehearsal.author import AUTHOR_HABITS, Author
from arena.rehearsal.connection import Address
from arena.rehearsal.ledger import Ledger
from arena.rehearsal.measurements import Measurements
from arena.rehearsal.phone import HABITS, POLL_SECONDS, Phone, Room
from arena.rehearsal.promises import Comparison, Known, compare
from arena.rehearsal.verses import make_bundle
from arena.rules.lifecycle import UNDECIDED
from arena.services import bracket, drawing, events, publishing, queries
from arena.services.schemas import MatchResult

LATE_SHARE = 0.1  # of the phones that come while the room already votes
HABIT_SHARE = 0.05  # of the phones that have one habit
ARRIVALS = 200.0  # phones a second, in the beginning
UPLOADS = 20  # authors who send their bundle at once
SPREAD = 1.5  # seconds over which phones fetch a page that has changed
PATIENCE = 30.0  # seconds after the end of a vote for those that are not confirmed yet
VERDICTS_WITHIN = 900.0  # seconds
CLOSING = 0.1  # seconds in which connections that were cut are closed
LAG_EVERY = 0.05  # seconds between two looks at this program's own delay
WORD = "rehearsal"  # of the draw
T = TypeVar("T")


@dataclass(frozen=True)
class Plan:
    """The size of a rehearsal."""

    phones: int = 200
    entries: int = 8
    seconds: float = 30.0  # within which the whole room votes
    large: bool = False  # bundles of 21 MB instead of 60 KB
    seed: int = 1


class Evening:
    """One evening, played against a server by its address, and directed through the event's database."""

    def __init__(
        self,
        event: EventContext,
        address: Address,
        plan: Plan,
        say: Callable[[str], None],
        kill_worker: Callable[[], bool] | None = None,
    ) -> None:
        """Prepare an evening.

        Args:
            event: the event, opened; nobody has entered it yet.
            address: of its server.
            plan: the size.
            say: prints a line.
            kill_worker: kills the verification process, and returns whether there was one; None: nobody is killed.
        """
        self.ledger, self.measurements, self.room = Ledger(), Measurements(), Room()
        self.matches = 0  # votes that were held, second ones included
        self._event, self._address, self._plan, self._say, self._kill = event, address, plan, say, kill_worker
        self._rng = random.Random(plan.seed)
        self._voting = asyncio.Event()  # the first match is open
        self._tasks: list[asyncio.Task[Any]] = []

    async def play(self) -> Comparison:
        """Play the evening, and compare what was acknowledged with the database.

        Raises:
            ArenaError: A step of the evening was refused.
        """
        self._start(self._watch_lag())
        try:
            await self._direct(events.open_submissions, now=self._event.clock())
            phones = self._make_phones()
            authors = await self._enter_all()
            self._link(phones, authors)
            await self._wait_for_verdicts()
            await self._direct(events.close_submissions, now=self._event.clock())
            await self._direct(drawing.draw_bracket, word=WORD, now=self._event.clock())
            await self._vote_to_the_end()
            await self._direct(publishing.publish, now=self._event.clock())
            await asyncio.sleep(POLL_SECONDS + SPREAD)  # all phones see the champion
        finally:
            self.room.open = False
            await self._end()
        return await asyncio.to_thread(compare, self._event, Known.of(self.ledger))

    def _make_phones(self) -> list[Phone]:
        """Let the room arrive: most now, some while it votes already."""
        plan, rng = self._plan, self._rng
        phones, arriving = [], max(2.0, plan.phones / ARRIVALS)
        habits: Sequence[str | None] = HABITS
        for number in range(plan.phones):
            own = random.Random(rng.random())
            habit = habits[number % len(habits)] if rng.random() < HABIT_SHARE * len(habits) else None
            late = number >= plan.entries and rng.random() < LATE_SHARE
            arrives = rng.uniform(0.0, 2 * plan.seconds if late else arriving)
            phone = Phone(self._address, self.room, self.ledger, self.measurements, own, arrives=arrives, habit=habit)
            phones.append(phone)
            if number >= plan.entries:  # the first ones belong to authors, and come when these have entered
                self._start(self._come_late(phone) if late else phone.run())
        return phones

    async def _come_late(self, phone: Phone) -> None:
        await self._voting.wait()
        await phone.run()

    def _link(self, phones: list[Phone], authors: list[Author]) -> None:
        """Let each author open the receipt's link on a phone."""
        for phone, author in zip(phones, authors, strict=False):
            phone.link = author.link
            self._start(phone.run())

    async def _enter_all(self) -> list[Author]:
        """Let all authors enter their verses, some at once; one in five with a habit."""
        at_once, rng = asyncio.Semaphore(UPLOADS), self._rng
        authors = []
        for number in range(self._plan.entries):
            bundle = await asyncio.to_thread(make_bundle, number, self._plan.large)
            habit = AUTHOR_HABITS[number % 2] if number < 2 or rng.random() < 0.2 else None
            own = random.Random(rng.random())
            name = f"Author {number + 1}"
            authors.append(Author(self._address, self.ledger, self.measurements, own, name, bundle, habit=habit))

        async def enter(author: Author) -> None:
            async with at_once:
                if not await author.run() and author.refusal is not None:
                    self.measurements.broken.append(f"{author.name} was refused: {author.refusal.text[:200]}")

        await asyncio.gather(*(enter(author) for author in authors))
        self._say(f"{len(self.ledger.entries)} verses have entered")
        return authors

    async def _wait_for_verdicts(self) -> None:
        """Wait until each verse has its verdict; kill the verification process while it checks one."""
        deadline, killed = time.monotonic() + VERDICTS_WITHIN, self._kill is None
        while True:
            states = [entry.state for entry in await self._direct(queries.list_entries)]
            if not killed and self._kill is not None and "verifying" in states:
                killed = await asyncio.to_thread(self._kill)
                if killed:
                    self._say("the verification process was killed in the middle of a check")
            if not any(state in UNDECIDED for state in states):
                break
            if time.monotonic() > deadline:
                self.measurements.broken.append(f"verses had no verdict after {VERDICTS_WITHIN:,.0f} s")
                break
            await asyncio.sleep(0.2)
        verified = sum(state == "verified" for state in states)
        self._say(f"{verified} of {len(states)} verses are verified")
        if verified != len(states):
            self.measurements.broken.append(f"{len(states) - verified} of {len(states)} honest verses are not verified")

    async def _vote_to_the_end(self) -> None:
        """Open match after match, let the room vote, and close each."""
        reading = (await self._direct(events.current_event)).rules.reading_seconds
        while match := await self._direct(queries.get_next_match, now=self._event.clock()):
            await self._direct(bracket.open_match, match.id, seconds=0, now=self._event.clock())
            poll_round, wait = 0, reading
            while True:
                self._voting.set()
                await self._let_vote(wait)
                result: MatchResult = await self._direct(
                    bracket.close_match, match.id, poll_round=poll_round, by_lot=True, now=self._event.clock()
                )
                self.matches += 1
                votes = sum(result.tallies[poll_round])
                self._say(f"{match.title}{', second vote' if poll_round else ''}: {votes:,} votes")
                if result.state == "closed":
                    break
                poll_round, wait = result.poll_round, 0.0

    async def _let_vote(self, reading: float) -> None:
        """Wait until the room has voted, and a little longer for votes that are not confirmed yet."""
        loop = asyncio.get_running_loop()
        begun = loop.time() + reading
        self.room.votes_until = begun + self._plan.seconds
        await asyncio.sleep(reading + max(self._plan.seconds, 1.2 * POLL_SECONDS + SPREAD))
        deadline = loop.time() + PATIENCE
        while self.room.voting and loop.time() < deadline:
            await asyncio.sleep(0.05)
        if self.room.voting:
            self.measurements.note(f"{self.room.voting:,} votes were not confirmed {PATIENCE:g} s after the end")

    async def _direct(self, function: Callable[..., T], *args: Any, **more: Any) -> T:
        """Call a service as the organizer does, in a thread."""
        return await asyncio.to_thread(function, self._event.db, *args, **more)

    async def _watch_lag(self) -> None:
        """Measure how late this program itself is: what its own work adds to every latency."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + LAG_EVERY
            await asyncio.sleep(LAG_EVERY)
            self.measurements.lag.append(max(0.0, loop.time() - due))

    def _start(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        self._tasks.append(asyncio.create_task(coroutine))

    async def _end(self) -> None:
        """End every client; a fault of this program is raised, not hidden."""
        faults = []
        for task in self._tasks:
            if task.done() and not task.cancelled() and task.exception():
                faults.append(task.exception())
            task.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.sleep(CLOSING)
        for fault in faults:
            if fault is not None:
                raise fault
