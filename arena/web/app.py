"""The Flask application: made from settings, a database and files; no global state, nothing at import."""

from __future__ import annotations

import time
from collections.abc import Callable

from flask import Flask, Response, abort, current_app, request

from arena.bootstrap import BundleStore, Database, Spool
from arena.services import queries
from arena.services.schemas import Snapshot
from arena.services.uploads import PIECE_BYTES
from arena.settings import Settings
from arena.web import api, console, errors, filters, public, routes, security, stage
from arena.web.assets import compress, read_assets
from arena.web.context import AppContext, get_context
from arena.web.limits import KIB, request_limits

DEFAULT_BODY = 64 * KIB  # bytes of a request: a vote, a login, a name
FORM_MEMORY = 4 * DEFAULT_BODY  # bytes; Werkzeug counts the 64 KiB it reads of a file at a time, and some before them
COMPRESSED = ("text/html", "application/json")
WORTH_COMPRESSING = 400  # bytes; below, a packet is a packet
SAFE = ("GET", "HEAD", "OPTIONS")


def create_app(
    settings: Settings,
    db: Database,
    bundles: BundleStore,
    spool: Spool,
    clock: Callable[[], float] = time.time,
    console_remote: bool = False,
    snapshot: Callable[[], Snapshot] | None = None,
) -> Flask:
    """Make the application.

    Args:
        settings: of the event folder; its secrets sign cookies and forms, its address is what links begin with.
        db: the event's database.
        bundles: its whole bundles.
        spool: its uploads under way.
        clock: seconds since the epoch; every service is told the time.
        console_remote: let the console answer other machines; for servers behind TLS only.
        snapshot: the gateway's, from memory; without one the database is asked each time.
    """
    app = Flask(__name__, static_folder=None)
    app.config.update(MAX_CONTENT_LENGTH=DEFAULT_BODY, MAX_FORM_MEMORY_SIZE=FORM_MEMORY)
    snapshot = snapshot or (lambda: queries.snapshot(db, now=clock()))
    app.extensions["arena"] = AppContext(settings, db, bundles, spool, clock, snapshot, read_assets(), console_remote)
    app.json.sort_keys = False  # type: ignore[attr-defined]  # the default provider has it
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.jinja_env.filters.update(
        verse_lines=filters.verse_lines,
        first_words=filters.first_words,
        sanitize=filters.sanitize,
        duration=filters.duration,
        iso_time=filters.iso_time,
        sentence=filters.sentence,
    )
    app.jinja_env.globals.update(
        pluralize=filters.pluralize,
        qr=filters.qr,
        static=static_address,
        form_token=security.form_token,
        home=errors.home,
        state_address=routes.STATE.path,
        entries_address=routes.ENTRIES,
        piece_bytes=PIECE_BYTES,
        event_name=filters.sanitize(settings.name),
    )
    for blueprint in (public.pages, api.api, stage.stage, console.console):
        app.register_blueprint(blueprint)
    app.add_url_rule("/static/<name>", "static", _static)
    app.before_request(_before)
    app.after_request(_after)
    errors.register(app)
    return app


def static_address(name: str) -> str:
    return f"/static/{name}?v={get_context().static[name].digest}"


def _static(name: str) -> Response:
    asset = get_context().static.get(name)
    if asset is None:
        abort(404)
    compressed = request.accept_encodings.quality("gzip") > 0
    response = current_app.response_class(asset.compressed if compressed else asset.data, mimetype=asset.mimetype)
    if compressed:
        response.headers["Content-Encoding"] = "gzip"
    response.vary.add("Accept-Encoding")
    response.set_etag(asset.digest, weak=True)
    kept = request.args.get("v") == asset.digest
    response.headers["Cache-Control"] = "public, max-age=31536000, immutable" if kept else "no-cache"
    response.make_conditional(request)
    return response


def _before() -> None:
    """Limits, the console's door, and the token of every form. The API sees to its own."""
    request.max_content_length = request_limits(
        request.method, request.path
    ).max_bytes  # as the gateway in front of this
    if security.in_console(request):
        security.guard_console()
    if request.method not in SAFE and request.url_rule is not None and request.blueprint != "api":
        security.check_form_token(request.form.get(security.TOKEN_FIELD))


def _after(response: Response) -> Response:
    security.set_cookies(response)
    for name, value in security.HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers.setdefault("Cache-Control", "no-store")
    return _compress(response)


def _compress(response: Response) -> Response:
    """gzip what is text. Conference Wi-Fi counts bytes; form tokens differ each time, so the length tells no secret."""
    if response.mimetype not in COMPRESSED or response.status_code != 200 or "Content-Encoding" in response.headers:
        return response
    response.vary.add("Accept-Encoding")
    if request.method == "HEAD" or request.accept_encodings.quality("gzip") <= 0:
        return response
    data = response.get_data()
    if len(data) >= WORTH_COMPRESSING:
        response.set_data(compress(data))
        response.headers["Content-Encoding"] = "gzip"
    return response
