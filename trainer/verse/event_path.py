"""The path of an event on a server that has several of them: /e/NAME, at the beginning of each of its addresses."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

EVENT_PATH = re.compile(r"/e/[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?(?=/|$)")


def event_path(url: str) -> str:
    """Return the path of the event to which an address belongs; "" where the event has the server for itself.

    Raises:
        ValueError: It is not an address.

    >>> event_path("https://verses.example.org/e/spring-2027/results?lang=de")
    '/e/spring-2027'
    >>> event_path("http://192.168.1.5:8000/results")
    ''
    """
    found = EVENT_PATH.match(urlsplit(url).path)
    return found[0] if found else ""
