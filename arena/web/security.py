"""Cookies, form tokens, headers of security, and access to the console.

A phone has one cookie: the voter's secret, signed, so that nobody can invent one.
A form has a token made from that cookie (double submit): a page of another site can send the form, but not the token.
The console has a cookie of its own, for its own path, and only answers this machine.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import Any

from flask import Request, Response, g, request
from itsdangerous import BadData, URLSafeSerializer, URLSafeTimedSerializer

from arena.web.context import get_context
from arena.web.refusal import Refusal
from trainer.verse.identity import new_secret

VOTER_COOKIE = "t"
CONSOLE_COOKIE = "console"
TOKEN_FIELD = "token"
TOKEN_HEADER = "X-Form-Token"
YEAR = 365 * 86_400  # seconds
CONSOLE_SECONDS = 12 * 3_600  # a login lasts an evening
LOOPBACK = ("127.0.0.1", "::1")
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}


# The voter


def voter_secret() -> str:
    """Return the browser's secret: from its cookie, or a new one that the response will set."""
    if "voter" not in g:
        g.voter = _cookie_secret() or _new_voter()
    return str(g.voter)


def known_voter() -> str | None:
    """Return the secret of the browser's cookie, if it is genuine."""
    if "voter" in g:
        return str(g.voter)
    return _cookie_secret()


def use_secret(secret: str) -> None:
    """Set another secret in the browser's cookie."""
    g.voter = secret
    g.set_voter = True


def _new_voter() -> str:
    g.set_voter = True
    return new_secret()


def _cookie_secret() -> str | None:
    try:
        value = _serializer("voter").loads(request.cookies.get(VOTER_COOKIE, ""))
    except BadData:
        return None
    return value if isinstance(value, str) else None


def set_cookies(response: Response) -> None:
    """Write the cookies that this request changed."""
    settings = get_context().settings
    if g.get("set_voter"):
        response.set_cookie(
            VOTER_COOKIE,
            _serializer("voter").dumps(g.voter),
            max_age=YEAR,
            httponly=True,
            samesite="Lax",
            secure=settings.base_url.startswith("https:"),
        )
    if "console" in g and g.get("set_console"):
        response.set_cookie(
            CONSOLE_COOKIE,
            _console_serializer().dumps(g.console),
            path="/console",
            max_age=CONSOLE_SECONDS,
            httponly=True,
            samesite="Strict",
            secure=remote_console(),  # on this machine the console is plain http
        )


# Forms


def form_token() -> str:
    """Return a token for the forms of this page. It differs each time, so that compression does not reveal it."""
    return str(_serializer("form").dumps([secrets.token_urlsafe(6), _token_owner()]))


def check_form_token(sent: str | None) -> None:
    """Check the token of a form.

    Raises:
        Refusal: The token was not made for the browser that sends it.
    """
    try:
        _, owner = _serializer("form").loads(sent or "")
    except (BadData, ValueError, TypeError):
        owner = None
    if not isinstance(owner, str) or not hmac.compare_digest(owner, _token_owner()):
        raise Refusal(
            403,
            "form-token",
            "This form was not made for this browser, or this browser saves no cookies: "
            "allow cookies for this address, open the page again, and try once more.",
        )


def _token_owner() -> str:
    """Return what a token is bound to: the console's cookie on its pages, the voter's cookie elsewhere."""
    who = console_session()["id"] if in_console(request) else voter_secret()
    return hashlib.sha256(f"verse-form-1|{who}".encode()).hexdigest()[:24]


# The console


def in_console(req: Request) -> bool:
    """Return whether a request is for a page of the console."""
    return req.path == "/console" or req.path.startswith("/console/")


def guard_console() -> None:
    """Check that a request for the console comes from this machine, or that the console answers other machines.

    A tunnel or proxy on this machine sends from 127.0.0.1 too. It is recognized by its headers or by the Host header.

    Raises:
        Refusal: The request comes from elsewhere.
    """
    if remote_console():
        return
    forwarded = [name for name in ("Forwarded", "X-Forwarded-For", "X-Real-Ip", "Via") if name in request.headers]
    host = request.host.rsplit(":", 1)[0] if not request.host.endswith("]") else request.host
    if request.remote_addr not in LOOPBACK or forwarded or host not in ("127.0.0.1", "localhost", "[::1]"):
        raise Refusal(
            403,
            "console-elsewhere",
            f"The console only answers on the organizer's machine: open {get_context().settings.console_url} there.",
        )


def remote_console() -> bool:
    """Return whether the console answers other machines."""
    return get_context().console_remote


def console_session() -> dict[str, Any]:
    """Return the console cookie's content: its id, and whether the password was entered. New if missing or forged."""
    if "console" not in g:
        try:
            value = _console_serializer().loads(request.cookies.get(CONSOLE_COOKIE, ""), max_age=CONSOLE_SECONDS)
        except BadData:
            value = None
        if not isinstance(value, dict) or set(value) != {"id", "in"}:
            value = {"id": secrets.token_urlsafe(16), "in": False}
            g.set_console = True
        g.console = value
    return dict(g.console)


def enter_console(inside: bool) -> None:
    """Log in or out. The cookie is always a new one, so that no earlier cookie stays valid."""
    g.console = {"id": secrets.token_urlsafe(16), "in": inside}
    g.set_console = True


def right_password(password: str) -> bool:
    """Return whether this is the password of the console."""
    digests = [hashlib.sha256(text.encode()).digest() for text in (password, get_context().settings.console_password)]
    return hmac.compare_digest(*digests)


def _serializer(purpose: str) -> URLSafeSerializer:
    return URLSafeSerializer(get_context().settings.secret_key, salt=f"verse-{purpose}-1", signer_kwargs=_SIGNER)


def _console_serializer() -> URLSafeTimedSerializer:
    """Return a serializer that is bound to the password: a new password logs everybody out."""
    secret = hashlib.sha256(
        (get_context().settings.secret_key + get_context().settings.console_password).encode()
    ).hexdigest()
    return URLSafeTimedSerializer(secret, salt="verse-console-1", signer_kwargs=_SIGNER)


_SIGNER = {"digest_method": hashlib.sha256, "key_derivation": "hmac"}
