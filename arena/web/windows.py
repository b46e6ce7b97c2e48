"""Where a phone shows a page: in the room's Wi-Fi, and in a browser or in another program's window."""

from __future__ import annotations

from flask import has_request_context, request

from arena.web.context import get_context


def is_borrowed_window(user_agent: str) -> bool:
    """Return whether a page is shown by a program that is no browser: a Wi-Fi's sign-in window, or a messenger.

    Such windows have cookies of their own, so that a phone is another voter there, and the system closes them.
    WebKit names Safari only in browsers; Android marks other windows with "wv".
    """
    return ("AppleWebKit/" in user_agent and "Safari/" not in user_agent) or "; wv)" in user_agent


def in_borrowed_window() -> bool:
    """Return whether the page that is asked for is shown by a program that is no browser."""
    return has_request_context() and is_borrowed_window(request.headers.get("User-Agent", ""))


def is_in_room() -> bool:
    """Return whether phones reach the event in its own network only, which may have no internet."""
    return get_context().base_url.startswith("http:")
