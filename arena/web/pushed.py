"""The part of a phone's page that a change of the event brings, made once for everybody.

While nothing is open it is the same for all who read one language. During a vote there are four in each language: two
orders of the verses, each with buttons for those who may vote, and without for the authors. A form's token is not in
it: the page has one already. A phone that may not vote, since it has no ticket or PIN, asks for its own page instead,
and so does one whose ticket replaced a lost one: its secret does not tell that it is an author's.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from flask import Flask, g

from arena.services import voting
from arena.services.identity import Identity, identity_of
from arena.services.schemas import Ballot, Snapshot
from arena.settings import LANGUAGES, Settings
from arena.web.context import get_context
from arena.web.cookies import read_voter
from arena.web.public import index_page, phase_key
from arena.web.translation import SOURCE, language_of, use_language
from trainer.verse.identity import is_secret


@dataclass(frozen=True)
class Listener:
    """Who listens for changes."""

    voter: Identity | None  # None: no cookie of a voter, as the stage
    language: str = SOURCE  # of the pages

    @property
    def name(self) -> str:
        """The voter's id; "" if there is none."""
        return self.voter.voter_id if self.voter is not None else ""


class Encoded(Protocol):
    """A snapshot in memory."""

    @property
    def snapshot(self) -> Snapshot:
        """The snapshot."""


@dataclass(frozen=True)
class PushedPage:
    """A page as the event `page`, for each kind of voter."""

    same: Mapping[str, bytes] = field(default_factory=dict)  # by language: for everybody, where nothing is voted on
    match: str = ""  # id of the open match; "": there is none
    owners: frozenset[str] = frozenset()  # ids of the authors of its verses
    ballots: Mapping[tuple[str, voting.Choice, bool], bytes] = field(
        default_factory=dict
    )  # by language, the verse on the left, and whether mine

    def for_listener(self, listener: Listener) -> bytes:
        """Return the event for one voter, in the language of their pages."""
        voter = listener.voter
        if not self.match or voter is None:
            return self.same[listener.language]
        left = voting.choice_on_the_left(voter, self.match)
        return self.ballots[listener.language, left, voter.owner_id in self.owners]


class PushedPages:
    """Makes the pages of an application, outside of any request."""

    def __init__(self, app: Flask, settings: Settings, now: Callable[[], float]) -> None:
        """Make no page yet.

        Args:
            app: the application for everybody.
            settings: the event's; a secret of it signs cookies.
            now: returns seconds since the epoch.
        """
        self._app, self._settings, self._now = app, settings, now

    def key(self, state: Encoded) -> str:
        """Return what differs when the pages do."""
        return phase_key(state.snapshot)

    def listener(self, headers: Mapping[str, str]) -> Listener:
        """Return who sends these headers, by their lower-case names."""
        cookie = headers.get("cookie", "")
        secret = read_voter(self._settings, cookie)
        voter = identity_of(secret) if secret is not None and is_secret(secret) else None
        return Listener(voter, language_of(self._settings.language, cookie, headers.get("accept-language", "")))

    def render(self, state: Encoded) -> PushedPage | None:
        """Return the page of a state; None where each phone asks for its own: several matches are open, or practice."""
        snapshot, now = state.snapshot, self._now()
        if snapshot.round is not None or snapshot.practice is not None:
            return None
        with self._app.test_request_context("/", base_url=self._settings.base_url):
            g.form_token = ""
            match = snapshot.match
            poll = voting.open_poll(get_context().db, match.id, now=now) if match is not None else None
            if match is None or poll is None:
                return PushedPage(same={code: _page(code, snapshot, None, now) for code in LANGUAGES})
            ballots = {
                (code, left, mine): _page(code, snapshot, poll.ballot(left, mine), now)
                for code in LANGUAGES
                for left in voting.CHOICES
                for mine in (False, True)
            }
            return PushedPage(match=match.id, owners=poll.owners, ballots=ballots)


def _page(code: str, snapshot: Snapshot, ballot: Ballot | None, now: float) -> bytes:
    """Return a page as an event.

    Args:
        code: its language.
        snapshot: of the event.
        ballot: the votes that are open; None: there are none.
        now: seconds since the epoch.
    """
    use_language(code)
    return _event(index_page(snapshot, ballot, None, now))


def _event(page: str) -> bytes:
    """Return title and main part of a page as an event, whose data are one JSON string."""
    start, end = page.index("<main"), page.index("</main>") + len("</main>")
    title = page[page.index("<title>") : page.index("</title>") + len("</title>")]
    return b"event: page\ndata: " + json.dumps(title + page[start:end]).encode() + b"\n\n"
