"""The part of a phone's page that a change of the event brings, made once for everybody.

While nothing is open it is the same for all. During a vote there are four: two orders of the verses, each with buttons
for those who may vote, and without for the authors. A form's token is not in it: the page has one already. A phone
that may not vote, since it has no ticket or PIN, asks for its own page instead.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from flask import Flask, g

from arena.services import voting
from arena.services.identity import Identity, identity_of
from arena.services.schemas import Snapshot
from arena.settings import Settings
from arena.web.context import get_context
from arena.web.cookies import read_voter
from arena.web.public import index_page, phase_key
from trainer.verse.identity import is_secret

VoterIds = Identity


class Encoded(Protocol):
    """A snapshot in memory."""

    @property
    def snapshot(self) -> Snapshot:
        """The snapshot."""


@dataclass(frozen=True)
class PushedPage:
    """A page as the event `page`, for each kind of voter."""

    same: bytes = b""  # for everybody, where nothing is voted on
    match: str = ""  # id of the open match; "": there is none
    owners: frozenset[str] = frozenset()  # ids of the authors of its verses
    ballots: Mapping[tuple[voting.Choice, bool], bytes] = field(
        default_factory=dict
    )  # by the verse on the left, and whether mine

    def for_voter(self, voter: VoterIds) -> bytes:
        """Return the event for one voter."""
        if not self.match:
            return self.same
        return self.ballots[voting.choice_on_the_left(voter, self.match), voter.owner_id in self.owners]


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

    def voter(self, cookie: str) -> VoterIds | None:
        """Return who sends this header Cookie."""
        secret = read_voter(self._settings, cookie)
        return identity_of(secret) if secret is not None and is_secret(secret) else None

    def render(self, state: Encoded) -> PushedPage | None:
        """Return the page of a state; None where each phone asks for its own: several matches are open, or practice."""
        snapshot, now = state.snapshot, self._now()
        if snapshot.round is not None or snapshot.practice is not None:
            return None
        with self._app.test_request_context("/"):
            g.form_token = ""
            if snapshot.match is None:
                return PushedPage(same=_event(index_page(snapshot, None, None, now)))
            poll = voting.open_poll(get_context().db, snapshot.match.id, now=now)
            if poll is None:
                return PushedPage(same=_event(index_page(snapshot, None, None, now)))
            ballots = {
                (left, mine): _event(index_page(snapshot, poll.ballot(left, mine), None, now))
                for left in voting.CHOICES
                for mine in (False, True)
            }
            return PushedPage(match=snapshot.match.id, owners=poll.owners, ballots=ballots)


def _event(page: str) -> bytes:
    """Return title and main part of a page as an event, whose data are one JSON string."""
    start, end = page.index("<main"), page.index("</main>") + len("</main>")
    title = page[page.index("<title>") : page.index("</title>") + len("</title>")]
    return b"event: page\ndata: " + json.dumps(title + page[start:end]).encode() + b"\n\n"
