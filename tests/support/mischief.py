"""Clients that are not honest: slow ones, greedy ones and hostile ones, seeded, on the event loop of a rehearsal.

They run until the room is closed. What the server acknowledges to them is in the same ledger as honest votes and
entries, since it binds the server just as much.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from urllib.parse import quote

from arena.rehearsal.author import Author
from arena.rehearsal.browser import Browser, Page
from arena.rehearsal.connection import Address, Answer, Connection, ConnectionLost
from arena.rehearsal.ledger import Claimed, Ledger
from arena.rehearsal.measurements import Measurements
from arena.rehearsal.phone import Room
from arena.web.cookies import VOTER_COOKIE
from arena.web.routes import ENTER, ENTRY_STATUS, SEND_PIECE, STATE, WITHDRAW
from tests.support.bundles import header_of, large_verse, verse
from trainer.verse import strictjson
from trainer.verse.identity import new_secret

NAMES = (
    "Eve",
    "Mallory",
    "<b>Bob</b>",
    "'; DROP TABLE entries; --",
    "Zoë",
    "O'Hara & sons",
    "\u202eevil",
    "x" * 41,
    "",
)
PATHS = (
    "/",
    "/results",
    "/mine",
    "/stage",
    "/console",
    "/console/login",
    "/enter",
    "/api/v1/event",
    "/api/v1/openapi.json",
    "/static/../settings.json",
    "/static/%2e%2e/%2e%2e/secrets.json",
    "/entries/" + "0" * 32,
    "/entries/..%2f..%2fsecrets.json/bundle",
    "/mine/" + "x" * 22,
    "/mine/%00",
    "/%ff%fe",
    "/" + "a" * 3_000,
)
GARBAGE = (
    b"\x00" * 64,
    b"GET / HTTP/9.9\r\n\r\n",
    b"GET / HTTP/1.1\r\n\r\n",
    b"POST /vote HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    b"POST /vote HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
    b"POST /vote HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # a TLS handshake
    b"GET /api/v1/state HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 100_000,
)


@dataclass
class Mischief:
    """What all of them share."""

    address: Address
    room: Room
    ledger: Ledger
    measurements: Measurements
    rng: random.Random
    _lines: list[Connection] = field(default_factory=list)

    def line(self) -> Connection:
        """A connection that `close` cuts."""
        self._lines.append(Connection(self.address))
        return self._lines[-1]

    def browser(self) -> Browser:
        """A browser whose connection `close` cuts."""
        browser = Browser(self.address, self.measurements)
        self._lines.append(browser.connection)
        return browser

    def close(self) -> None:
        """Cut every connection."""
        for line in self._lines:
            line.cut()

    async def go_on(self, what: Callable[[], Awaitable[object]], pause: float) -> None:
        """Do something again and again until the room is closed."""
        while self.room.open:
            with suppress(ConnectionLost):
                await what()
            await asyncio.sleep(self.rng.uniform(0.0, 2 * pause))

    def forbid(self, answer: Answer, what: str) -> None:
        """Note a request that must not succeed."""
        if answer.status < 400:
            self.measurements.broken.append(f"{what}: answer {answer.status}")

    # Slow

    async def trickle_claims(self) -> None:
        """Begin a claim, and send it slower than anybody does who means it."""

        async def trickle() -> None:
            connection, header = self.line(), header_of(verse(self.rng.randrange(100)))
            headers = {"Authorization": f"Bearer {new_secret()}"}
            await connection.begin(ENTER.method, f"{ENTER.path}?name=Slow", headers, header[:9], len(header))
            for _ in range(self.rng.randrange(1, 12)):
                await asyncio.sleep(0.5)
                if not self.room.open or not connection.send(b"{" * self.rng.randrange(1, 800)):
                    break
            connection.cut()

        await self.go_on(trickle, 0.2)

    async def hold_votes(self) -> None:
        """Send the head of a vote, and nothing more; or read no answer."""
        browser = self.browser()

        async def hold() -> None:
            await browser.page()
            connections = [self.line() for _ in range(10)]
            for connection in connections:
                headers = {"Cookie": f"{VOTER_COOKIE}={browser.cookie}"}
                await connection.begin("POST", "/vote", headers, b"match=", 100)
            await asyncio.sleep(self.rng.uniform(0.1, 4.0))
            for connection in connections:
                connection.cut()

        await self.go_on(hold, 0.5)

    # Greedy

    async def flip_votes(self) -> None:
        """Change one vote again and again, on three connections at once."""
        browser = self.browser()
        lines = [self.line() for _ in range(3)]

        async def cast(page: Page, label: str, line: Connection) -> None:
            assert page.ballot is not None and browser.identity is not None
            key = (page.ballot, browser.identity.voter_id)
            attempt = self.ledger.attempt(*key, label, self.measurements.now())
            answer = await browser.post("flips", "/vote", {**page.fields, "side": page.buttons[label]}, line)
            if answer.status >= 500:
                return  # it may have counted
            attempt.ended = self.measurements.now()
            attempt.acknowledged = answer.status == 303
            if not attempt.acknowledged:
                self.ledger.refused(*key, attempt)

        async def flip() -> None:
            page = await browser.page()
            if page is None or page.ballot is None or page.voted or len(page.buttons) != 2:
                if page is not None and page.voted and page.ballot is not None and page.buttons:
                    [other] = page.buttons
                    sides = {other: page.buttons[other]}
                    sides["AB".replace(other, "")] = {"left": "right", "right": "left"}[page.buttons[other]]
                    page = replace(page, buttons=sides)
                else:
                    return
            votes = [cast(page, self.rng.choice("AB"), line) for line in lines]
            for result in await asyncio.gather(*votes, return_exceptions=True):
                if isinstance(result, BaseException) and not isinstance(result, ConnectionLost):
                    raise result

        await self.go_on(flip, 0.1)

    async def flood_entries(self) -> None:
        """Enter under ever new secrets, promise many bytes, and never send them."""
        browser = self.browser()

        async def claim() -> None:
            large = self.rng.random() < 0.5
            bundle = large_verse(self.rng.randrange(4)) if large else verse(self.rng.randrange(200))
            secret, name = new_secret(), self.rng.choice(NAMES)
            headers = {"Authorization": f"Bearer {secret}"}
            path = f"{ENTER.path}?name={quote(name)}"
            answer = await browser.request("floods", ENTER.method, path, headers, header_of(bundle))
            if answer.status == 201:
                entry = strictjson.parse(answer.content)["entry"]
                self.ledger.entries[entry] = Claimed(entry, secret, name, complete=False)

        await self.go_on(claim, 0.3)

    async def come_and_go(self) -> None:
        """Enter, withdraw, enter again, and rename, with one secret."""
        browser, secret = self.browser(), new_secret()
        headers = {"Authorization": f"Bearer {secret}"}
        number = self.rng.randrange(200, 300)

        async def change() -> None:
            author = Author(
                self.address, self.ledger, self.measurements, self.rng, "Comes and goes", verse(number), secret=secret
            )
            if await author.run() and self.rng.random() < 0.8:
                path = WITHDRAW.path.format(entry_id=author.entry)
                await browser.request("withdrawals", WITHDRAW.method, path, headers)

        await self.go_on(change, 0.5)

    async def race_pieces(self) -> None:
        """Send different bytes for the same place, on four connections at once."""

        async def race() -> None:
            secret, bundle = new_secret(), large_verse(self.rng.randrange(4, 8))
            header, headers = header_of(bundle), {"Authorization": f"Bearer {secret}"}
            lines = [self.browser() for _ in range(4)]
            answer = await lines[0].request("races", ENTER.method, f"{ENTER.path}?name=Race", headers, header)
            if answer.status in (200, 201):
                entry, offset = strictjson.parse(answer.content)["entry"], len(header)
                self.ledger.entries[entry] = Claimed(entry, secret, "Race", complete=False)
                for _ in range(8):
                    piece = bundle[offset : offset + 2**20]
                    others = [bytes(len(piece)), piece, piece[: len(piece) // 2], piece]
                    path, more = SEND_PIECE.path.format(entry_id=entry), headers | {"Upload-Offset": str(offset)}
                    tries = [
                        one.request("races", SEND_PIECE.method, path, more, other)
                        for one, other in zip(lines, others, strict=True)
                    ]
                    answers = await asyncio.gather(*tries, return_exceptions=True)
                    known = [strictjson.parse(one.content).get("offset") for one in answers if isinstance(one, Answer)]
                    offset = max((one for one in known if one is not None), default=offset)
                    if offset >= len(bundle) or not self.room.open:
                        break
            for line in lines:
                line.connection.cut()

        await self.go_on(race, 1.0)

    # Hostile

    async def break_rules(self) -> None:
        """Ask for what is not theirs: others' entries and votes, files of the event, the console."""
        browser = self.browser()

        async def ask() -> None:
            rng, secret = self.rng, new_secret()
            bearer = {"Authorization": f"Bearer {secret}"}
            others = [one.entry for one in list(self.ledger.entries.values())[-50:]] or ["0" * 32]
            entry, choice = rng.choice(others), rng.randrange(9)
            if choice == 0:
                await browser.request("pages", "GET", rng.choice(PATHS))
            elif choice == 1:
                path = ENTRY_STATUS.path.format(entry_id=entry)
                self.forbid(await browser.request("theft", "GET", path, bearer), "another's entry was shown")
            elif choice == 2:
                path = WITHDRAW.path.format(entry_id=entry)
                self.forbid(await browser.request("theft", "DELETE", path, bearer), "another's entry was withdrawn")
            elif choice == 3:
                path, more = SEND_PIECE.path.format(entry_id=entry), bearer | {"Upload-Offset": "0"}
                answer = await browser.request("theft", "PATCH", path, more, b"x" * rng.randrange(1, 2_000))
                self.forbid(answer, "a piece of another's entry was taken")
            elif choice == 4:
                body = bytes(rng.randrange(256) for _ in range(rng.randrange(1, 3_000)))
                answer = await browser.request("garbage", "POST", f"{ENTER.path}?name=G", bearer, body)
                self.forbid(answer, "garbage was entered")
            elif choice == 5:
                bundle = bytearray(header_of(verse(rng.randrange(100))))
                bundle[rng.randrange(len(bundle))] ^= 1 << rng.randrange(8)
                answer = await browser.request("damaged", "POST", f"{ENTER.path}?name=D", bearer, bytes(bundle))
                if answer.status == 201:
                    said = strictjson.parse(answer.content)["entry"]
                    self.ledger.entries[said] = Claimed(said, secret, "D", complete=False)
            elif choice == 6:
                cookie = {"Cookie": f"{VOTER_COOKIE}={rng.choice(['x', 'InNlY3JldCI.forged', '.' * 50, chr(255)])}"}
                fields = b"match=r1m1&poll_round=0&side=left&token=x"
                line = self.browser()
                answer = await line.request("forged votes", "POST", "/vote", cookie, fields)
                line.connection.cut()
                self.forbid(answer, "a vote without a cookie was taken")
            elif choice == 7:
                page = await browser.page()
                if page is not None and page.ballot is not None:
                    stranger = self.browser()
                    await stranger.page()
                    fields = {**page.fields, "side": "left"}  # with the token of another browser
                    answer = await stranger.post("forged votes", "/vote", fields)
                    stranger.connection.cut()
                    self.forbid(answer, "a vote with another's form was taken")
            else:
                fields = {"match": rng.choice(["r1m1", "x" * 50, "", "third"]), "poll_round": rng.choice("01x")}
                page = await browser.page()
                token = page.fields.get("token", "") if page is not None else ""
                answer = await browser.post("odd votes", "/vote", {**fields, "side": "middle", "token": token})
                self.forbid(answer, "a vote for no side was taken")

        await self.go_on(ask, 0.05)

    async def talk_garbage(self) -> None:
        """Send bytes that are no request, and look whether the server still answers."""

        async def talk() -> None:
            connection = self.line()
            await connection.begin("GET", STATE.path, {}, self.rng.choice(GARBAGE), 0)
            await asyncio.sleep(self.rng.uniform(0.0, 0.3))
            connection.cut()
            reader, writer = await asyncio.open_connection(self.address.host, self.address.port)
            try:
                writer.write(self.rng.choice(GARBAGE))
                async with asyncio.timeout(self.rng.uniform(0.1, 1.0)):
                    await reader.read(1_000)
            except (OSError, TimeoutError):
                pass
            finally:
                writer.transport.abort()

        async def try_to() -> None:
            try:
                await talk()
            except OSError as error:
                raise ConnectionLost(str(error)) from None

        await self.go_on(try_to, 0.2)

    @property
    def all(self) -> list[Callable[[], Awaitable[None]]]:
        """Every kind of mischief."""
        return [
            self.trickle_claims,
            self.hold_votes,
            self.flip_votes,
            self.flood_entries,
            self.come_and_go,
            self.race_pieces,
            self.break_rules,
            self.talk_garbage,
        ]
