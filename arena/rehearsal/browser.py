"""What every simulated browser does: it keeps a cookie, reads pages, and measures each request."""

from __future__ import annotations

import base64
import html
import json
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from urllib.parse import urlencode

from arena.rehearsal.connection import Address, Answer, Connection, ConnectionLost
from arena.rehearsal.ledger import Ballot
from arena.rehearsal.measurements import Measurements
from arena.services.identity import Identity, identity_of
from arena.web.cookies import VOTER_COOKIE
from arena.web.public import phase_key
from trainer.verse import strictjson
from trainer.verse.event_path import EVENT_PATH

FORM_TYPE = {"Content-Type": "application/x-www-form-urlencoded"}
_FIELD = re.compile(r'<input type="hidden" name="(\w+)" value="([^"]*)"')
_BUTTON = re.compile(r'<button[^>]*\bname="side" value="(left|right)"[^>]*>[^<]*?\b([AB])\b')
_VOTED = re.compile(r'class="voted">[^<]*\b([AB])\s*<')
_DATA = re.compile(r'\bdata-(key|ballot|spread|epoch)="([^"]*)"')
_ASSET = re.compile(rf'(?:href|src)="(?:{EVENT_PATH.pattern})?(/static/[^"]+)"')


@dataclass(frozen=True)
class Page:
    """What a phone reads of a page."""

    fields: Mapping[str, str]  # hidden ones of its forms
    buttons: Mapping[str, str]  # label, A or B, to side
    voted: str | None  # the label of this phone's vote
    key: str  # of the state that it shows
    ballot: Ballot | None  # the round of a poll that it shows
    spread: float  # seconds over which phones fetch a new page
    assets: tuple[str, ...]

    @classmethod
    def read(cls, text: str) -> Page:
        """Read HTML."""
        data = {name: html.unescape(value) for name, value in _DATA.findall(text)}
        voted = _VOTED.search(text)
        return cls(
            fields={name: html.unescape(value) for name, value in _FIELD.findall(text)},
            buttons={label: side for side, label in _BUTTON.findall(text)},
            voted=voted[1] if voted else None,
            key=data.get("key", ""),
            ballot=Ballot.parse(data["ballot"]) if "ballot" in data else None,
            spread=float(data.get("spread") or 0) / 1000,
            assets=tuple(dict.fromkeys(_ASSET.findall(text))),
        )


def state_key(body: bytes) -> str:
    """Return the key of a snapshot, by which a phone sees that its page is another one now."""
    return phase_key(json.loads(body, object_hook=lambda fields: SimpleNamespace(**fields)))


def secret_in(cookie: str) -> str:
    """Return the secret that a voter's cookie holds: it is signed, and no secret from its browser.

    Raises:
        ValueError: It is no such cookie.
    """
    payload = cookie.rpartition(".")[0]
    compressed = payload.startswith(".")
    data = base64.urlsafe_b64decode(payload.lstrip(".") + "=" * (-len(payload.lstrip(".")) % 4))
    return str(strictjson.parse(zlib.decompress(data) if compressed else data))


class Browser:
    """One browser with a cookie and one kept-alive connection."""

    def __init__(self, address: Address, measurements: Measurements) -> None:
        self.connection = Connection(address)
        self.measurements = measurements
        self.cookie = ""
        self.identity: Identity | None = None  # once there is a cookie

    async def request(
        self,
        kind: str,
        method: str,
        path: str,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        *,
        connection: Connection | None = None,
        due: float | None = None,
    ) -> Answer:
        """Send a request with the cookie, measure it, and keep the cookie of the answer.

        Args:
            kind: of the request, for the measurements.
            method: the HTTP method.
            path: with the query.
            headers: further ones.
            body: the whole of it.
            connection: another one than the browser's first.
            due: when it was to be sent, in seconds of the measurements; None: now.

        Raises:
            ConnectionLost: There was no answer.
        """
        sent = dict(headers or {})
        if self.cookie:
            sent["Cookie"] = f"{VOTER_COOKIE}={self.cookie}"
        began = self.measurements.now() if due is None else due
        try:
            answer = await (connection or self.connection).request(method, path, sent, body)
        except ConnectionLost as error:
            self.measurements.failed(kind, str(error))
            raise
        self.measurements.answered(kind, began, answer.status, answer.headers)
        self._keep_cookie(answer)
        return answer

    async def page(self, path: str = "/") -> Page | None:
        """Fetch a page; None if the server refuses it for now.

        Raises:
            ConnectionLost: There was no answer.
        """
        answer = await self.request("pages", "GET", path)
        return Page.read(answer.text) if answer.status == 200 else None

    async def post(
        self, kind: str, path: str, fields: Mapping[str, str], connection: Connection | None = None
    ) -> Answer:
        """Send a form.

        Args:
            kind: of the request, for the measurements.
            path: that the form posts to.
            fields: all of them.
            connection: another one than the browser's first.

        Raises:
            ConnectionLost: There was no answer.
        """
        return await self.request(kind, "POST", path, FORM_TYPE, urlencode(fields).encode(), connection=connection)

    def _keep_cookie(self, answer: Answer) -> None:
        header = answer.headers.get("set-cookie", "")
        if header.startswith(f"{VOTER_COOKIE}="):
            self.cookie = header.partition("=")[2].partition(";")[0]
            self.identity = identity_of(secret_in(self.cookie))
