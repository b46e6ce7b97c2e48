"""Somebody who enters a verse as `trainer submit` does: claims it, and sends the rest in pieces, until all is there."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from urllib.parse import quote

from arena.rehearsal.browser import Browser
from arena.rehearsal.connection import Address, Answer, ConnectionLost
from arena.rehearsal.ledger import Claimed, Ledger
from arena.rehearsal.measurements import Measurements
from arena.web.routes import ENTER, SEND_PIECE
from trainer.verse import strictjson
from trainer.verse.claim import LENGTH_BYTES, header_length
from trainer.verse.identity import new_secret

PIECE_BYTES = 2**20
PAUSE = 0.5  # seconds before a request is sent again
COMPLETE = ("waiting", "verifying", "verified", "refused", "replaced")  # states of an entry with all its bytes
AUTHOR_HABITS = ("taps twice", "loses the connection")


class Author:
    """One author with one bundle."""

    def __init__(
        self,
        address: Address,
        ledger: Ledger,
        measurements: Measurements,
        rng: random.Random,
        name: str,
        bundle: bytes,
        *,
        secret: str = "",
        habit: str | None = None,
        arrives: float = 0.0,
    ) -> None:
        """Make an author; `run` enters the verse.

        Args:
            address: of the server.
            ledger: gets the entry.
            measurements: gets every latency.
            rng: of this author.
            name: shown with the verse.
            bundle: all its bytes.
            secret: the owner's; "": a new one.
            habit: one of `AUTHOR_HABITS`.
            arrives: seconds until the claim is sent.
        """
        self.name, self.secret = name, secret or new_secret()
        self.refusal: Answer | None = None  # the answer that ended it
        self.entry = ""  # the id, once the claim was acknowledged
        self._browser = Browser(address, measurements)
        self._ledger, self._rng, self._bundle = ledger, rng, bundle
        self._habit, self._arrives = habit, arrives
        self._headers = {"Authorization": f"Bearer {self.secret}"}

    @property
    def link(self) -> str:
        """The path that links a phone to the entry."""
        return f"/mine/{self.secret}"

    async def run(self) -> bool:
        """Enter the verse; return whether all of it was acknowledged."""
        await asyncio.sleep(self._arrives)
        try:
            offset = await self._claim()
            if offset is not None and self._habit == "taps twice":
                offset = await self._claim()
            return offset is not None and await self._send(offset)
        finally:
            self._browser.connection.cut()

    async def _claim(self) -> int | None:
        """Send the header until it is answered; return where to continue, or None if it was refused."""
        header = self._bundle[: header_length(self._bundle[:LENGTH_BYTES])]
        path = f"{ENTER.path}?name={quote(self.name)}"
        answer = await self._ask("claims", ENTER.method, path, {}, header)
        if answer.status not in (200, 201):
            self.refusal = answer
            return None
        receipt = strictjson.parse(answer.content)
        self.entry = receipt["entry"]
        known = self._ledger.entries.get(self.entry)
        if known is None:
            complete = receipt["state"] != "receiving"
            self._ledger.entries[self.entry] = Claimed(self.entry, self.secret, self.name, complete)
        return int(receipt["offset"])

    async def _send(self, offset: int) -> bool:
        cut = self._habit == "loses the connection"
        while offset < len(self._bundle):
            piece = self._bundle[offset : offset + PIECE_BYTES]
            path, headers = SEND_PIECE.path.format(entry_id=self.entry), {"Upload-Offset": str(offset)}
            if cut and len(piece) > 1:
                cut = False
                await self._send_half(path, headers, piece)
                continue
            answer = await self._ask("pieces", SEND_PIECE.method, path, headers, piece)
            said = strictjson.parse(answer.content)
            if answer.status not in (200, 409) or "offset" not in said:
                if said.get("error") == "not-receiving" and said.get("state") in COMPLETE:
                    break  # an earlier piece, whose answer was lost, was the last
                if said.get("error") == "bytes-lost" and (again := await self._claim()) is not None:
                    offset = again
                    continue
                self.refusal = answer
                return False
            offset = int(said["offset"])
        self._ledger.entries[self.entry] = replace(self._ledger.entries[self.entry], complete=True)
        return True

    async def _send_half(self, path: str, headers: dict[str, str], piece: bytes) -> None:
        """Send a part of a piece, and lose the connection."""
        half = piece[: self._rng.randrange(1, len(piece))]
        try:
            await self._browser.connection.begin(
                SEND_PIECE.method, path, self._headers | headers, half, size=len(piece)
            )
        except ConnectionLost:
            return
        await asyncio.sleep(self._rng.uniform(0.0, 0.05))
        self._browser.connection.cut()

    async def _ask(self, kind: str, method: str, path: str, headers: dict[str, str], body: bytes) -> Answer:
        """Send a request again and again, until it is answered by something other than a fault of the server."""
        while True:
            try:
                answer = await self._browser.request(kind, method, path, self._headers | headers, body)
            except ConnectionLost:
                await asyncio.sleep(PAUSE)
                continue
            if answer.status not in (408, 503):
                return answer
            await asyncio.sleep(max(PAUSE, float(answer.headers.get("retry-after", "0"))))
