"""Cookies, form tokens, headers of security, and access to the console.

A phone has one cookie: the voter's secret, signed, so that nobody can invent one.
A form has a token made from that cookie (double submit): a page of another site can send the form, but not the token.
The console is an application of its own on a port of its own, with a cookie for its own path.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import secrets

from flask import Response, g, request
from itsdangerous import BadData

from arena.phrases import phrase
from arena.web.client_address import client_address
from arena.web.context import get_context, root
from arena.web.cookies import (
    CONSOLE_SECONDS,
    VOTER_COOKIE,
    ConsoleSession,
    ConsoleSessions,
    console_cookie,
    read_voter,
    serializer,
)
from arena.web.refusal import Refusal
from trainer.verse.identity import new_secret

TOKEN_FIELD = "token"
TOKEN_HEADER = "X-Form-Token"
YEAR = 365 * 86_400  # seconds
POLICY = (
    "default-src 'none'; script-src 'self'; worker-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
# Of the worker that computes verses, which may compile WebAssembly; the pages may not.
ENGINE_POLICY = POLICY.replace("script-src 'self'", "script-src 'self' 'wasm-unsafe-eval'")
HEADERS = {
    "Content-Security-Policy": POLICY,
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
    return read_voter(get_context().settings, request.headers.get("Cookie", ""))


def bearer(authorization: str) -> str | None:
    """Return the secret in the header Authorization, if there is one."""
    scheme, _, value = authorization.partition(" ")
    return value.strip() or None if scheme.lower() == "bearer" else None


def no_secret() -> Refusal:
    """Return the refusal of a request that does not say whose it is."""
    return Refusal(401, "no-secret", phrase("Say whose entry it is: send the header `Authorization: Bearer SECRET`."))


def set_cookies(response: Response) -> None:
    """Write the cookies that this request changed."""
    settings = get_context().settings
    if g.get("set_voter"):
        response.set_cookie(
            VOTER_COOKIE,
            serializer(settings, "voter").dumps(g.voter),
            path=root() or "/",
            max_age=YEAR,
            httponly=True,
            samesite="Lax",
            secure=get_context().base_url.startswith("https:"),
        )
    if "console" in g and g.get("set_console"):
        response.set_cookie(
            console_cookie(settings),
            console_sessions().dump(g.console),
            path=f"{root()}/console",
            max_age=CONSOLE_SECONDS,
            httponly=True,
            samesite="Strict",
            secure=get_context().console_remote,  # on this machine the console is plain http
        )


def sender_address() -> str | None:
    """Return the address that limits of attempts go by."""
    header = request.headers.get("X-Forwarded-For", "")
    return client_address(request.remote_addr, header, get_context().settings.trusted_proxies)


# Forms


def form_token() -> str:
    """Return the token of this page's forms. It differs on each page, so that compression does not reveal it."""
    if "form_token" not in g:
        random = secrets.token_urlsafe(6)
        g.form_token = serializer(get_context().settings, "form").dumps([random, _token_owner()])
    return str(g.form_token)


def check_form_token(sent: str | None) -> None:
    """Check the token of a form.

    Raises:
        Refusal: The token was not made for the browser that sends it.
    """
    try:
        _, owner = serializer(get_context().settings, "form").loads(sent or "")
    except (BadData, ValueError, TypeError):
        owner = None
    if not isinstance(owner, str) or not hmac.compare_digest(owner, _token_owner()):
        raise foreign_form()


def foreign_form() -> Refusal:
    """Return the refusal of a form that was not made for the browser that sends it."""
    return Refusal(
        403,
        "form-token",
        phrase(
            "This form was not made for this browser, or this browser saves no cookies: "
            "allow cookies for this address, open the page again, and try once more."
        ),
    )


def _token_owner() -> str:
    """Return what a token is bound to: the console's cookie on its port, the voter's cookie elsewhere."""
    who = console_session().id if get_context().is_console else voter_secret()
    return hashlib.sha256(f"verse-form-1|{who}".encode()).hexdigest()[:24]


# The console


def guard_console() -> None:
    """Check that a request was meant for this machine, or that the console answers through a proxy.

    The console listens on this machine, but a page of another site can ask a browser here for it under a name of its
    own (DNS rebinding), and a tunnel can lead to it: both show in the headers.

    Raises:
        Refusal: The request comes from elsewhere.
    """
    ctx = get_context()
    if ctx.console_remote:
        return
    forwarded = [name for name in ("Forwarded", "X-Forwarded-For", "X-Real-Ip", "Via") if name in request.headers]
    host = (request.host.rsplit(":", 1)[0] if not request.host.endswith("]") else request.host).strip("[]")
    foreign = _is_loopback(ctx.settings.console_host) and not _is_loopback(request.remote_addr or "")
    if foreign or forwarded or not (_is_loopback(host) or host == ctx.settings.console_host):
        raise Refusal(
            403,
            "console-elsewhere",
            phrase(
                "The console only answers on the organizer's machine: open %(url)s there.",
                url=ctx.settings.console_url,
            ),
        )


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"


def console_sessions() -> ConsoleSessions:
    """Return what signs and reads the console's cookie."""
    sessions = get_context().sessions
    assert sessions is not None, "only the console's application has sessions"
    return sessions


def console_session() -> ConsoleSession:
    """Return the console's session: that of the cookie, or a new one if that is missing, forged or has ended."""
    if "console" not in g:
        session = console_sessions().read(request.headers.get("Cookie", ""))
        if session is None:
            session = console_sessions().start(inside=False)
            g.set_console = True
        g.console = session
    session = g.console
    assert isinstance(session, ConsoleSession)
    return session


def log_in() -> None:
    """Begin a session inside the console."""
    g.console, g.set_console = console_sessions().start(inside=True), True


def log_out() -> None:
    """End the session, and with it every other one."""
    console_sessions().end_all()
    g.console, g.set_console = console_sessions().start(inside=False), True


def right_password(password: str) -> bool:
    """Return whether this is the password of the console.

    Nobody is made to wait after wrong passwords: the right one has 80 random bits, and a limit would lock out the
    organizer, who has the same address as every other user of the machine.
    """
    digests = [hashlib.sha256(text.encode()).digest() for text in (password, console_sessions().password)]
    return hmac.compare_digest(*digests)
