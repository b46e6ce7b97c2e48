"""Simulated voters: browsers without JavaScript, which keep cookies, read pages and send the forms they find."""

from __future__ import annotations

import http.cookiejar
import random
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from html.parser import HTMLParser

from arena.errors import ArenaError

TIMEOUT = 20.0  # seconds of silence from the server
WITHIN = 30.0  # seconds until a page shows the vote that was opened
LOOK_EVERY = 0.05  # seconds between two looks for it


class VoterError(ArenaError):
    """A page that is not what a voter needs."""

    code = "voter"


class Form(HTMLParser):
    """The form of a page that posts to one address: its hidden fields, and what its buttons say."""

    def __init__(self, page: str, action: str) -> None:
        super().__init__()
        self._action, self._inside = action, False
        self.fields: dict[str, str] = {}
        self.buttons: list[tuple[str, str]] = []  # name and value
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        if tag == "form":
            self._inside = found.get("action") == self._action
        elif self._inside and tag == "input" and found.get("type") == "hidden":
            self.fields[found["name"]] = found.get("value", "")
        elif self._inside and tag == "button" and "name" in found:
            self.buttons.append((found["name"], found.get("value", "")))

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._inside = False


class Phone:
    """One voter's browser."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.cookies = http.cookiejar.CookieJar()
        self._browser = urllib.request.build_opener(
            urllib.request.HTTPCookieProcessor(self.cookies), urllib.request.ProxyHandler({})
        )

    def get(self, path: str) -> str:
        return self._open(urllib.request.Request(self._url + path))

    def post(self, path: str, fields: dict[str, str]) -> str:
        """Send a form; the page that it leads to."""
        return self._open(urllib.request.Request(self._url + path, urllib.parse.urlencode(fields).encode()))

    def vote(
        self,
        match: str,
        number: int,
        choose: Callable[[list[str]], str],
        wait: Callable[[float], None] = time.sleep,
    ) -> str:
        """Wait for a vote to be on the page, and take part.

        Args:
            match: its id.
            number: of the round of the poll.
            choose: picks one of the sides that the page has a button for.
            wait: lets so many seconds pass.

        Returns:
            the side voted for.

        Raises:
            VoterError: the vote does not come, or is not confirmed.
        """
        waited = 0.0
        while True:
            form = Form(self.get("/"), "/vote")
            if (form.fields.get("match"), form.fields.get("poll_round")) == (match, str(number)) and form.buttons:
                break
            if waited > WITHIN:
                raise VoterError(f"the vote on {match} did not come to a phone within {WITHIN:g} seconds")
            wait(LOOK_EVERY)
            waited += LOOK_EVERY
        side = choose([value for name, value in form.buttons if name == "side"])
        after = self.post("/vote", {**form.fields, "side": side})
        if 'class="voted"' not in after:
            raise VoterError(f"a vote on {match} was not confirmed")
        return side

    def _open(self, request: urllib.request.Request) -> str:
        try:
            with self._browser.open(request, timeout=TIMEOUT) as answer:
                return str(answer.read().decode())
        except urllib.error.HTTPError as error:
            with error:
                raise VoterError(f"{request.selector} answered {error.code}") from None
        except (OSError, ValueError) as error:
            raise VoterError(f"{request.selector} gave no answer: {getattr(error, 'reason', error)}") from None


def a_coin(rng: random.Random) -> Callable[[list[str]], str]:
    """A voter without an opinion."""
    return rng.choice
