"""Read and send pages as a browser without JavaScript does."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

from flask.testing import FlaskClient
from werkzeug.test import TestResponse


def token_of(page: TestResponse | str) -> str:
    text = page if isinstance(page, str) else page.text
    field = re.search(r'name="token" value="([^"]+)"', text)
    assert field, "the page has no form token"
    return field[1]


def post(client: FlaskClient, form_page: str, action: str, **fields: Any) -> TestResponse:
    """Send a form as a browser without JavaScript does: get the page, take its token, send it."""
    return client.post(action, data={"token": token_of(client.get(form_page)), **fields})


def hidden(page: TestResponse | str, name: str) -> str:
    text = page if isinstance(page, str) else page.text
    field = re.search(rf'name="{name}" value="([^"]*)"', text)
    assert field, f"the page has no field {name}"
    return field[1]


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
