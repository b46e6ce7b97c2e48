"""A voter's phone: it polls every four seconds as arena.js does, fetches the page when it changes, and votes."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field
from urllib.parse import urlencode

from arena.rehearsal.browser import FORM_TYPE, Browser, Page, state_key
from arena.rehearsal.connection import Address, Connection, ConnectionLost
from arena.rehearsal.ledger import Attempt, Ballot, Ledger
from arena.rehearsal.measurements import Measurements
from arena.web.cookies import VOTER_COOKIE
from arena.web.routes import STATE

POLL_SECONDS = 4.0  # between two polls, as in arena.js; each is up to a fifth earlier or later
LONGEST_PAUSE = 30.0  # between two polls while the server does not answer
VOTE_PAUSES = (1.0, 8.0)  # the first and the longest pause before a vote is sent again
HABITS = ("taps twice", "loses the connection", "changes its mind")
KEPT_KEYS = 64  # snapshots whose keys are kept: all phones read the same few


@dataclass
class Room:
    """What all phones share: until when they vote, and how many have."""

    votes_until: float = 0.0  # by the clock of the event loop
    voting: int = 0  # phones that are about to vote
    voted: dict[Ballot, int] = field(default_factory=dict)  # phones that are done with a ballot
    open: bool = True  # the evening goes on
    _keys: dict[bytes, str] = field(default_factory=dict)

    def key_of(self, body: bytes) -> str:
        """Return the key of a snapshot."""
        if body not in self._keys:
            if len(self._keys) >= KEPT_KEYS:
                self._keys.clear()
            self._keys[body] = state_key(body)
        return self._keys[body]


class Phone:
    """One phone."""

    def __init__(
        self,
        address: Address,
        room: Room,
        ledger: Ledger,
        measurements: Measurements,
        rng: random.Random,
        *,
        arrives: float = 0.0,
        habit: str | None = None,
        link: str | None = None,
    ) -> None:
        """Make a phone; `run` lets it take part.

        Args:
            address: of the server.
            room: what all phones share.
            ledger: gets every vote.
            measurements: gets every latency.
            rng: of this phone.
            arrives: seconds until it opens the first page.
            habit: one of `HABITS`.
            link: the address of an entry's receipt, by which the phone belongs to that author.
        """
        self.browser = Browser(address, measurements)
        self.linked = False
        self._room, self._ledger, self._measurements, self._rng = room, ledger, measurements, rng
        self.link, self._arrives, self._habit = link, arrives, habit
        self._page: Page | None = None
        self._etag = self._key = ""  # of the latest state
        self._done: Ballot | None = None  # the latest one voted on
        self._failures = 0

    async def run(self) -> None:
        """Take part until the room is closed."""
        try:
            await self._take_part()
        finally:
            self.browser.connection.cut()

    async def _take_part(self) -> None:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(self._arrives)
        poll_at = loop.time()
        vote_at: float | None = None
        while self._room.open:
            try:
                if self._page is None:
                    await self._arrive()
                else:
                    await self._poll(poll_at - loop.time())
                self._failures = 0
                wait = POLL_SECONDS
            except ConnectionLost:
                self._failures += 1
                wait = min(LONGEST_PAUSE, POLL_SECONDS * 2 ** min(self._failures, 4))
            if vote_at is None and self._may_vote():
                vote_at = self._rng.uniform(loop.time(), max(loop.time(), self._room.votes_until))
                self._room.voting += 1
            poll_at = loop.time() + wait * self._rng.uniform(0.8, 1.2)
            if vote_at is not None and vote_at <= poll_at:
                await asyncio.sleep(max(0.0, vote_at - loop.time()))
                vote_at = None
                await self._vote()
                self._room.voting -= 1
                poll_at = max(poll_at, loop.time())
            await asyncio.sleep(max(0.0, poll_at - loop.time()))

    def _may_vote(self) -> bool:
        page = self._page
        return page is not None and bool(page.buttons) and page.ballot is not None and page.ballot != self._done

    async def _arrive(self) -> None:
        page = await self.browser.page()
        if page is None:
            return
        for path in page.assets:
            await self.browser.request("files", "GET", path)
        if self.link is not None and not self.linked:
            await self._link_phone(self.link)
            page = await self.browser.page()
        self._page = page

    async def _link_phone(self, link: str) -> None:
        """Open the link of a receipt and confirm it: the phone then has no vote in the author's matches."""
        page = await self.browser.page(link)
        if page is not None and "secret" in page.fields:
            answer = await self.browser.post("forms", "/mine/link", page.fields)
            self.linked = answer.status == 303

    async def _poll(self, early: float) -> None:
        """Ask for the state, and fetch the page if it shows another one.

        Args:
            early: seconds until the poll is due: negative, if this program is late.
        """
        headers = {"If-None-Match": self._etag} if self._etag else {}
        due = self._measurements.now() + min(0.0, early)
        answer = await self.browser.request("polls", STATE.method, STATE.path, headers, due=due)
        if answer.status == 200:
            self._etag, self._key = answer.headers.get("etag", ""), self._room.key_of(answer.content)
        elif answer.status != 304:
            raise ConnectionLost(f"answer {answer.status}")
        assert self._page is not None
        if self._key != self._page.key:
            await asyncio.sleep(self._rng.uniform(0.0, self._page.spread))
            self._page = await self.browser.page() or self._page

    async def _vote(self) -> None:
        """Vote, as often as it takes until the server has confirmed or refused it."""
        page, identity = self._page, self.browser.identity
        if page is None or page.ballot is None or not page.buttons or identity is None or not self._room.open:
            return
        ballot, voter = page.ballot, identity.voter_id
        label = self._rng.choice(sorted(page.buttons))
        self._done = ballot
        if self._habit == "loses the connection":
            await self._send_and_leave(page, ballot, voter, label)
        if self._habit == "taps twice":
            other = Connection(self.browser.connection.address)
            taps = [self._send(page, ballot, voter, label, connection) for connection in (None, other)]
            try:
                await asyncio.gather(*taps)
            finally:
                other.cut()
        else:
            await self._send(page, ballot, voter, label)
        if self._habit == "changes its mind" and self._page is not None and self._page.ballot == ballot:
            others = sorted(set(self._page.buttons) - {label})
            if others:
                await self._send(self._page, ballot, voter, others[0])
        self._room.voted[ballot] = self._room.voted.get(ballot, 0) + 1

    async def _send(
        self, page: Page, ballot: Ballot, voter: str, label: str, connection: Connection | None = None
    ) -> None:
        """Send a vote until it is answered, and fetch the page that confirms it, as arena.js does."""
        pause, longest = VOTE_PAUSES
        fields = {**page.fields, "side": page.buttons[label]}
        while self._room.open:
            attempt = self._ledger.attempt(ballot, voter, label, self._measurements.now())
            try:
                answer = await self.browser.post("votes", "/vote", fields, connection)
            except ConnectionLost:
                answer = None
            if answer is not None and answer.status < 500:
                attempt.ended = self._measurements.now()
                attempt.acknowledged = answer.status == 303
                if not attempt.acknowledged:
                    self._ledger.refused(ballot, voter, attempt)
                await self._confirm(ballot, label, attempt)
                return
            await asyncio.sleep(self._rng.uniform(0.8, 1.2) * pause)
            pause = min(longest, 2 * pause)

    async def _confirm(self, ballot: Ballot, label: str, attempt: Attempt) -> None:
        """Fetch the page to which a vote leads; it must show the vote."""
        try:
            page = await self.browser.page()
        except ConnectionLost:
            return
        if page is None:
            return
        self._page = page
        shown = page.voted if page.ballot == ballot else label
        if attempt.acknowledged and self._habit is None and shown != label:
            self._measurements.broken.append(f"a vote for {label} was confirmed, and the page shows {shown}")

    async def _send_and_leave(self, page: Page, ballot: Ballot, voter: str, label: str) -> None:
        """Send a vote, and lose the connection before the answer."""
        body = urlencode({**page.fields, "side": page.buttons[label]}).encode()
        attempt = self._ledger.attempt(ballot, voter, label, self._measurements.now())
        headers = {**FORM_TYPE, "Cookie": f"{VOTER_COOKIE}={self.browser.cookie}"}
        try:
            await self.browser.connection.begin("POST", "/vote", headers, body)
        except ConnectionLost:
            self._ledger.refused(ballot, voter, attempt)
            return
        await asyncio.sleep(self._rng.uniform(0.0, 0.02))
        self.browser.connection.cut()
