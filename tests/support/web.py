"""A real evening in a temporary folder: event, store, database and the Flask application; only the clock is a toy."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from arena.bootstrap import open_event
from arena.services import bracket, entries, events, verification
from arena.services.identity import new_secret
from arena.settings import Settings, create_event_folder
from arena.verification.check import check_bundle
from arena.web.app import create_app
from tests.support.bundles import RECIPE, Poet, random_weights
from trainer.verse.claim import header_length

START = 1_795_000_000.0


@cache
def bundle(seed: int) -> bytes:
    """A real bundle; different seeds write different verses."""
    poet = Poet(random_weights(1))
    return poet.pack(poet.write(replace(RECIPE, seed=seed)))


def header_of(data: bytes) -> bytes:
    return data[: header_length(data[:8])]


@dataclass
class Author:
    name: str
    secret: str
    entry: str  # id
    text: str


class Evening:
    """One event being served, with its clock in our hands."""

    def __init__(self, dir: Path, **options: Any) -> None:
        self.settings: Settings = create_event_folder(dir / "event", name="Evening <of> verses", **options)
        self.event = open_event(replace(self.settings, min_free_bytes=0))
        self.now = START
        self.app = self.make_app()
        events.create_event(self.db, name=self.settings.name, draw_word="moonlight", now=self.now)

    @property
    def db(self) -> Any:
        return self.event.db

    @property
    def store(self) -> Any:
        return self.event.store

    def make_app(self, **options: Any) -> Any:
        app = create_app(self.settings, self.db, self.store, clock=lambda: self.now, **options)
        app.testing = True
        return app

    def phone(self) -> FlaskClient:
        """A browser with cookies of its own."""
        client: FlaskClient = self.app.test_client()
        return client

    def organizer(self) -> FlaskClient:
        """A browser on the organizer's machine, logged in to the console."""
        client = self.phone()
        answer = post(client, "/console/login", "/console/login", password=self.settings.console_password)
        assert answer.status_code == 303
        return client

    def enter(self, count: int = 4) -> list[Author]:
        """Open submissions and take so many verses, whole."""
        events.open_submissions(self.db, now=self.now)
        return [self.author(f"Poet {seed}", seed) for seed in range(10, 10 + count)]

    def author(self, name: str, seed: int) -> Author:
        secret, data = new_secret(), bundle(seed)
        start = header_of(data)
        key = self.settings.receipt_key
        receipt = entries.take_claim(self.db, self.store, start, secret, name, key=key, now=self.now)
        status = entries.take_piece(
            self.db, self.store, receipt.entry, secret, len(start), data[len(start) :], now=self.now
        )
        return Author(name, secret, receipt.entry, status.text)

    def verify(self) -> None:
        """Check every waiting entry, as a worker does."""
        while job := verification.claim_next(self.db, worker="test", lease_seconds=30, now=self.now):
            verification.record_verdict(self.db, job, check_bundle(self.store.path(job.bundle)), now=self.now)

    def draw(self, count: int = 4) -> list[Author]:
        """Authors of a drawn bracket."""
        authors = self.enter(count)
        self.verify()
        events.close_submissions(self.db, now=self.now)
        bracket.draw_bracket(self.db, now=self.now)
        return authors

    def voting(self, count: int = 4, match: str = "r1m1", seconds: float = 60) -> list[Author]:
        """Authors of a bracket whose first match is open."""
        authors = self.draw(count)
        bracket.open_match(self.db, match, seconds=seconds, now=self.now)
        return authors


def token_of(page: TestResponse | str) -> str:
    text = page if isinstance(page, str) else page.text
    found = re.search(r'name="token" value="([^"]+)"', text)
    assert found, "the page has no form token"
    return found[1]


def post(client: FlaskClient, form_page: str, action: str, **fields: Any) -> TestResponse:
    """Send a form as a browser without JavaScript does: get the page, take its token, send it."""
    return client.post(action, data={"token": token_of(client.get(form_page)), **fields})


def hidden(page: TestResponse | str, name: str) -> str:
    text = page if isinstance(page, str) else page.text
    found = re.search(rf'name="{name}" value="([^"]*)"', text)
    assert found, f"the page has no field {name}"
    return found[1]


def vote(client: FlaskClient, side: str) -> TestResponse:
    page = client.get("/")
    fields = {name: hidden(page, name) for name in ("token", "match", "poll_round")}
    return client.post("/vote", data={**fields, "side": side})


class Tags(HTMLParser):
    """Every tag of a page, and the text outside of scripts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data
