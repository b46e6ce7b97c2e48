"""Simulated voters: browsers without JavaScript that keep cookies, read pages and send the forms in them."""

from __future__ import annotations

import http.cookiejar
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from html.parser import HTMLParser

from arena.errors import ArenaError
from trainer.verse.event_path import event_path

TIMEOUT = 20.0  # seconds without a byte from the server
POLL_OPEN_SECONDS = 30.0  # until the page shows the poll that was opened
POLL_SECONDS = 0.05  # between two requests for the page


class VoterError(ArenaError):
    """A page that a voter cannot use."""

    code = "voter"


class Form(HTMLParser):
    """The form of a page that posts to one address: its hidden fields and its buttons."""

    def __init__(self, page: str, action: str) -> None:
        """Read a page.

        Args:
            page: HTML.
            action: the address that the form posts to.
        """
        super().__init__()
        self._action, self._inside = action, False
        self.fields: dict[str, str] = {}
        self.buttons: list[tuple[str, str]] = []  # name and value
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note the form's beginning, its hidden fields and its buttons."""
        attributes = {name: value or "" for name, value in attrs}
        if tag == "form":
            self._inside = attributes.get("action") == self._action
        elif self._inside and tag == "input" and attributes.get("type") == "hidden":
            self.fields[attributes["name"]] = attributes.get("value", "")
        elif self._inside and tag == "button" and "name" in attributes:
            self.buttons.append((attributes["name"], attributes.get("value", "")))

    def handle_endtag(self, tag: str) -> None:
        """Note the form's end."""
        if tag == "form":
            self._inside = False


class SimulatedVoter:
    """One voter's browser."""

    def __init__(self, url: str) -> None:
        """Create a browser without cookies for the event at `url`."""
        self._url = url
        self.cookies = http.cookiejar.CookieJar()
        self._browser = urllib.request.build_opener(
            urllib.request.HTTPCookieProcessor(self.cookies), urllib.request.ProxyHandler({})
        )

    def get(self, path: str) -> str:
        """Load a page."""
        return self._open(urllib.request.Request(self._url + path))

    def post(self, path: str, fields: dict[str, str]) -> str:
        """Send a form, and return the page that follows."""
        return self._open(urllib.request.Request(self._url + path, urllib.parse.urlencode(fields).encode()))

    def vote(
        self,
        match: str,
        poll_round: int,
        choose: Callable[[list[str]], str],
        wait: Callable[[float], None] = time.sleep,
    ) -> str:
        """Wait until the page shows a poll, and vote.

        Args:
            match: the match's id.
            poll_round: 0 for the first vote, 1 for the second.
            choose: picks one of the sides that the page has a button for.
            wait: waits so many seconds.

        Returns:
            The side voted for.

        Raises:
            VoterError: The page does not show the poll in time, or does not confirm the vote.
        """
        waited = 0.0
        while True:
            form = Form(self.get("/"), f"{event_path(self._url)}/vote")
            if (form.fields.get("match"), form.fields.get("poll_round")) == (match, str(poll_round)) and form.buttons:
                break
            if waited > POLL_OPEN_SECONDS:
                raise VoterError(f"the page did not show the vote on {match} within {POLL_OPEN_SECONDS:g} seconds")
            wait(POLL_SECONDS)
            waited += POLL_SECONDS
        side = choose([value for name, value in form.buttons if name == "side"])
        confirmation = self.post("/vote", {**form.fields, "side": side})
        if 'class="voted"' not in confirmation:
            raise VoterError(f"a vote on {match} was not confirmed")
        return side

    def _open(self, request: urllib.request.Request) -> str:
        try:
            with self._browser.open(request, timeout=TIMEOUT) as response:
                return str(response.read().decode())
        except urllib.error.HTTPError as error:
            with error:
                raise VoterError(f"{request.selector} answered {error.code}") from None
        except (OSError, ValueError) as error:
            raise VoterError(f"{request.selector} gave no answer: {getattr(error, 'reason', error)}") from None
