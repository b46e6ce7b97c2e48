"""One event for tests: real files, a real database, a clock that tests move; its pages, and its server, on demand."""

from __future__ import annotations

import atexit
import functools
import re
import shutil
import tempfile
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from arena.bootstrap import EventContext, open_database, open_event
from arena.clock import EventClock
from arena.services.audit import audit_tables
from arena.services.bracket import close_match, open_match
from arena.services.claims import take_claim
from arena.services.drawing import draw_bracket
from arena.services.entries import entry_status
from arena.services.events import close_submissions, create_event, open_submissions
from arena.services.queries import console_view, get_open_match, list_entries
from arena.services.receipts import public_key_of
from arena.services.schemas import EntryStatus, EventRules, Job, MatchResult, Receipt
from arena.services.uploads import PIECE_BYTES, take_piece
from arena.services.verification import claim_next, record_verdict
from arena.services.voting import cast_vote, get_ballot
from arena.settings import DATABASE_FILE, SETTINGS_FILE, create_event_folder, load_settings, sqlite_url
from arena.store.schema import Event
from arena.verification.check import check_bundle
from tests.support.bundles import header_of, verse
from tests.support.pages import post
from tests.support.server import ArenaServer, within

WORD, SALT = "thimble", "draw-salt"  # of the draw
START = 1_795_000_000.0  # seconds since the epoch
VERIFIED_WITHIN = 60.0  # seconds, by a worker on a machine with every core busy


def secret_of(name: str) -> str:
    """A secret for a person of this name, fit for a cookie and an address."""
    return ("secret-of-" + re.sub(r"[^A-Za-z0-9]", "-", name)).ljust(22, "-")


@functools.cache
def empty_database() -> Path:
    """A database with all tables and nothing in them, made once in each process."""
    folder = Path(tempfile.mkdtemp(prefix="arena-tests-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    open_database(sqlite_url(folder / DATABASE_FILE)).dispose()
    return folder / DATABASE_FILE


@dataclass(frozen=True)
class Author:
    """Somebody who entered a verse."""

    name: str
    secret: str
    entry: str  # id
    text: str


class Evening:
    """An event folder that is opened, or made if there is none.

    Args:
        folder: of the event.
        now: seconds since the epoch at which its clock stands until a test moves it; None: the clock of this machine,
            for an event that other processes work on too.
        settings: further fields of settings.json for a new folder.
    """

    def __init__(self, folder: Path, now: float | None = START, **settings: Any) -> None:
        self.folder, usual = folder, {"min_free_bytes": 0}
        if (folder / SETTINGS_FILE).exists():
            self.settings = load_settings(folder)
        else:
            self.settings = create_event_folder(folder, name="Evening <of> verses", **usual | settings)
            if self.settings.database_url == sqlite_url(folder / DATABASE_FILE):
                shutil.copyfile(empty_database(), folder / DATABASE_FILE)
        event = open_event(replace(self.settings, **usual | settings))
        self.db, self.bundles, self.spool = event.db, event.bundles, event.spool
        self.server: ArenaServer | None = None
        self.forged = False  # whether the test changes tables behind the log's back
        self._now = now
        self._served_clock = event.clock
        self.clock = EventClock(wall=lambda: self.now)

    @property
    def now(self) -> float:
        return self._served_clock() if self._now is None else self._now

    @now.setter
    def now(self, now: float) -> None:
        self._now = now

    @property
    def key(self) -> str:
        """What signs receipts."""
        return self.settings.receipt_key

    def end(self) -> None:
        if self.server is not None:
            self.server.end()
        self.db.dispose()

    def differences(self) -> list[str]:
        """What in the tables does not follow from the log."""
        with self.db.reading() as session:
            if session.scalar(select(Event.id)) is None:
                return []
        page = audit_tables(self.db, self.bundles)
        return [difference for check in page.checks for difference in check.differences]

    # The event

    def create(self, rules: EventRules | None = None) -> Evening:
        """Make the event in the database; its submissions are not open yet."""
        name, key = self.settings.name, public_key_of(self.key)
        create_event(self.db, name=name, rules=rules or EventRules(), salt="salt", receipt_key=key, now=self.now)
        return self

    def begin(self, rules: EventRules | None = None) -> Evening:
        """Make the event and open its submissions."""
        self.create(rules)
        self.open()
        return self

    def open(self) -> None:
        open_submissions(self.db, draw_salt=SALT, now=self.now)

    def close(self) -> None:
        close_submissions(self.db, now=self.now)

    # Entries

    def claim(self, name: str, bundle: bytes) -> Receipt:
        header, secret = header_of(bundle), secret_of(name)
        return take_claim(self.db, self.bundles, self.spool, header, secret, name, key=self.key, now=self.now)

    def piece(self, name: str, entry: str, offset: int, data: bytes) -> EntryStatus:
        return take_piece(self.db, self.bundles, self.spool, entry, secret_of(name), offset, data, now=self.now)

    def enter(self, name: str, bundle: bytes) -> str:
        """Claim and send all of a bundle; the entry's id."""
        receipt = self.claim(name, bundle)
        offset = receipt.offset
        while offset < receipt.size:
            offset = self.piece(name, receipt.entry, offset, bundle[offset : offset + PIECE_BYTES]).received
        return receipt.entry

    def author(self, name: str, number: int) -> Author:
        """Enter a verse; each number is another one."""
        entry, secret = self.enter(name, verse(number)), secret_of(name)
        return Author(name, secret, entry, entry_status(self.db, entry, secret, now=self.now).text)

    def authors(self, count: int = 4) -> list[Author]:
        """Open submissions and enter so many verses."""
        self.open()
        return [self.author(f"Poet {number}", number) for number in range(count)]

    # Verification

    def lease(self, worker: str = "worker", seconds: float = 30.0) -> Job | None:
        return claim_next(self.db, worker=worker, lease_seconds=seconds, now=self.now)

    def verify_all(self) -> int:
        """Check what waits, in this process; how many."""
        count = 0
        while job := self.lease():
            count += 1
            report = check_bundle(self.bundles.local_copy(job.bundle).read_bytes())
            assert record_verdict(self.db, job, report, now=self.now)
        return count

    def wait_until_verified(self, count: int) -> None:
        """Wait until the server's worker has verified so many entries."""
        assert within(VERIFIED_WITHIN, lambda: console_view(self.db, now=self.now).counts["verified"] == count)

    # The bracket

    def close_and_draw(self) -> None:
        self.close()
        draw_bracket(self.db, word=WORD, now=self.now)

    def drawn(self, bundles: list[bytes]) -> list[str]:
        """Enter, verify, close and draw; entry ids in the order of their seeds."""
        for number, bundle in enumerate(bundles):
            self.enter(f"poet{number}", bundle)
        self.verify_all()
        self.close_and_draw()
        placed = [entry for entry in list_entries(self.db) if entry.seed]
        return [entry.entry for entry in sorted(placed, key=lambda entry: entry.seed or 0)]

    def draw(self, count: int = 4) -> list[Author]:
        """Authors of a drawn bracket."""
        authors = self.authors(count)
        self.verify_all()
        self.close_and_draw()
        return authors

    def voting(self, count: int = 4, match: str = "r1m1", seconds: float = 60) -> list[Author]:
        """Authors of a bracket whose first match is open."""
        authors = self.draw(count)
        open_match(self.db, match, seconds=seconds, now=self.now)
        return authors

    def vote(self, voter: str, match: str, text: str) -> None:
        """Vote for the verse with this text, on whichever side the voter sees it."""
        ballot = get_ballot(self.db, match, secret_of(voter), now=self.now)
        side = "left" if ballot.left.text == text else "right"
        cast_vote(self.db, match, secret_of(voter), side, ballot.poll_round, now=self.now)

    def tie(self, match: str) -> None:
        """Let two people vote on the open match, one for each verse."""
        for voter, side in (("one", "upper"), ("two", "lower")):
            opened = get_open_match(self.db, now=self.now)
            assert opened and opened.id == match
            self.vote(voter, match, getattr(opened, side).text)

    def decide(self, match: str, text: str, voters: int = 3) -> MatchResult:
        """Open a match, let everybody vote for one verse, close it."""
        open_match(self.db, match, now=self.now)
        for number in range(voters):
            self.vote(f"voter{number}", match, text)
        self.now += 1
        return close_match(self.db, match, poll_round=0, now=self.now)

    # Pages, without a server

    @cached_property
    def app(self) -> Flask:
        return self.make_app()

    @cached_property
    def console(self) -> Flask:
        return self.make_console()

    @property
    def event(self) -> EventContext:
        return EventContext(self.settings, self.db, self.bundles, self.spool, self.clock)

    def make_app(self, **options: Any) -> Flask:
        from arena.web.app import create_app

        app = create_app(self.event, **{"clock": lambda: self.now} | options)
        app.testing = True
        return app

    def make_console(self, **options: Any) -> Flask:
        from arena.web.app import create_console

        app = create_console(self.event, **{"clock": lambda: self.now} | options)
        app.testing = True
        return app

    def phone(self) -> FlaskClient:
        """A browser with cookies of its own."""
        client: FlaskClient = self.app.test_client()
        return client

    def visitor(self) -> FlaskClient:
        """A browser at the console's port that has not logged in."""
        client: FlaskClient = self.console.test_client()
        return client

    def organizer(self) -> FlaskClient:
        """A browser on the organizer's machine, logged in to the console."""
        client = self.visitor()
        answer = post(client, "/console/login", "/console/login", password=self.settings.console_password)
        assert answer.status_code == 303
        return client

    # A real server

    def serve(self) -> ArenaServer:
        """Start `arena serve`, at the port it had before if it was started before."""
        self.server = ArenaServer(self.folder, self.server.port if self.server else None)
        return self.server

    @property
    def port(self) -> int:
        assert self.server is not None
        return self.server.port

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}{self.settings.path}"

    @property
    def console_url(self) -> str:
        """The beginning of the console's addresses."""
        assert self.server is not None
        return f"http://127.0.0.1:{self.server.console_port}"
