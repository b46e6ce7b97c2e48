"""The Flask application: made from settings, a database and a bundle store; no global state, nothing at import."""

from __future__ import annotations

import gzip
import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from flask import Flask, Response, abort, current_app, jsonify, render_template, request
from werkzeug.exceptions import HTTPException, InternalServerError, RequestEntityTooLarge

from arena.errors import ArenaError
from arena.server.request_body import KIB, kind_of
from arena.services import queries
from arena.settings import Settings
from arena.web import filters, security

T = TypeVar("T")

DEFAULT_BODY = 64 * KIB  # bytes of a request: a vote, a login, a name
FORM_MEMORY = 4 * DEFAULT_BODY  # bytes; Werkzeug counts the 64 KiB it reads of a file at a time, and some before them
STATIC = Path(__file__).parent / "static"
STATIC_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
COMPRESSED = ("text/html", "application/json")
WORTH_COMPRESSING = 400  # bytes; below, a packet is a packet
SAFE = ("GET", "HEAD", "OPTIONS")


@dataclass(frozen=True)
class Asset:
    """A static file, in memory."""

    data: bytes
    squeezed: bytes  # by gzip
    mimetype: str
    digest: str  # part of its address, so that a browser may keep it for good

    @classmethod
    def read(cls, path: Path) -> Asset:
        data = path.read_bytes()
        return cls(data, _squeeze(data), STATIC_TYPES[path.suffix], hashlib.sha256(data).hexdigest()[:10])


@dataclass(frozen=True)
class House:
    """What the routes need."""

    settings: Settings
    db: Any  # sessionmaker[Session]; only services look inside
    store: Any  # BundleStore; likewise
    clock: Callable[[], float]  # seconds since the epoch
    snapshot: Callable[[], dict[str, Any]]  # what is the same for all phones
    static: dict[str, Asset]  # by file name
    logins: security.LoginLimit = field(default_factory=security.LoginLimit)
    kept: dict[str, tuple[object, Any]] = field(default_factory=dict)  # see `keep`

    @property
    def now(self) -> float:
        return self.clock()

    def keep(self, what: str, version: object, make: Callable[[], T]) -> T:
        """The answer to a question that is the same for everybody until the log grows: a room asks it in one breath."""
        found = self.kept.get(what)
        if found is None or found[0] != version:
            found = self.kept[what] = (version, make())
        value: T = found[1]
        return value


def house() -> House:
    found = current_app.extensions["arena"]
    assert isinstance(found, House)
    return found


def create_app(
    settings: Settings,
    db: Any,
    store: Any,
    clock: Callable[[], float] = time.time,
    console_remote: bool = False,
    snapshot: Callable[[], dict[str, Any]] | None = None,
) -> Flask:
    """Make the application.

    Args:
        settings: of the event folder; its secrets sign cookies and forms, its address is what links begin with.
        db: the database's sessions, as `services` takes them.
        store: the bundle files, likewise.
        clock: seconds since the epoch; every service is told the time.
        console_remote: let the console answer other machines; for servers behind TLS only.
        snapshot: the gateway's, from memory; without one the database is asked each time.
    """
    from arena.web import api, console, public, stage

    app = Flask(__name__, static_folder=None)
    app.config.update(CONSOLE_REMOTE=console_remote, MAX_CONTENT_LENGTH=DEFAULT_BODY, MAX_FORM_MEMORY_SIZE=FORM_MEMORY)
    app.extensions["arena"] = House(
        settings, db, store, clock, snapshot or (lambda: queries.snapshot(db, now=clock())), _assets()
    )
    app.json.sort_keys = False  # type: ignore[attr-defined]  # the default provider has it
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.jinja_env.filters.update(
        verse_lines=filters.verse_lines,
        incipit=filters.incipit,
        plain=filters.plain,
        duration=filters.duration,
        iso_time=filters.iso_time,
        sentence=sentence,
    )
    app.jinja_env.globals.update(
        counted=filters.counted,
        qr=filters.qr,
        static=static_address,
        form_token=security.form_token,
        event_name=filters.plain(settings.name),
    )
    for blueprint in (public.pages, api.api, stage.stage, console.console):
        app.register_blueprint(blueprint)
    app.add_url_rule("/static/<name>", "static", _static)
    app.before_request(_before)
    app.after_request(_after)
    app.register_error_handler(ArenaError, _on_arena_error)
    app.register_error_handler(security.Refusal, _on_refusal)
    app.register_error_handler(HTTPException, _on_http_error)
    return app


def static_address(name: str) -> str:
    return f"/static/{name}?v={house().static[name].digest}"


def _assets() -> dict[str, Asset]:
    return {path.name: Asset.read(path) for path in sorted(STATIC.iterdir()) if path.suffix in STATIC_TYPES}


def _static(name: str) -> Response:
    asset = house().static.get(name)
    if asset is None:
        abort(404)
    squeezed = request.accept_encodings.quality("gzip") > 0
    response = current_app.response_class(asset.squeezed if squeezed else asset.data, mimetype=asset.mimetype)
    if squeezed:
        response.headers["Content-Encoding"] = "gzip"
    response.vary.add("Accept-Encoding")
    response.set_etag(asset.digest, weak=True)
    kept = request.args.get("v") == asset.digest
    response.headers["Cache-Control"] = "public, max-age=31536000, immutable" if kept else "no-cache"
    response.make_conditional(request)
    return response


def sentence(text: str) -> str:
    """An error's message as a sentence: a capital first, a full stop last.

    >>> sentence("this match is closed")
    'This match is closed.'
    """
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")


def _before() -> None:
    """Limits, the console's door, and the token of every form. The API sees to its own."""
    request.max_content_length = kind_of(request.method, request.path).limit  # as the gateway in front of this
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
        response.set_data(_squeeze(data))
        response.headers["Content-Encoding"] = "gzip"
    return response


def _squeeze(data: bytes) -> bytes:
    return gzip.compress(data, compresslevel=6, mtime=0)


def wants_json() -> bool:
    if request.path.startswith("/api/"):
        return True
    return request.accept_mimetypes.best_match(["text/html", "application/json"]) == "application/json"


def _answer(status: int, code: str, message: str, facts: dict[str, Any]) -> Response:
    message = sentence(message)
    if wants_json():
        response = jsonify({"error": code, "message": message, **facts})
    else:
        back = "/console" if security.in_console(request) else "/"
        response = current_app.make_response(render_template("error.html", message=message, status=status, back=back))
    response.status_code = status
    if status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


def _on_arena_error(error: ArenaError) -> Response:
    return _answer(error.status, error.code, str(error), error.facts)


def _on_refusal(error: security.Refusal) -> Response:
    response = _answer(error.status, error.code, str(error), {})
    if error.retry_after is not None:
        response.headers["Retry-After"] = str(error.retry_after)
    return response


def _on_http_error(error: HTTPException) -> Response:
    status = error.code or 500
    if isinstance(error, InternalServerError):
        message = "Something went wrong on the server; nothing that was confirmed is lost. Try again in a moment."
    elif isinstance(error, RequestEntityTooLarge):
        message = f"That is too large: at most {request.max_content_length or DEFAULT_BODY:,} bytes are taken here."
    elif status == 404:
        message = "There is no such page here. Look at the address again, or start from the first page."
    elif status == 405:
        message = "This address is not to be used that way. Start from the first page."
    else:
        message = error.description or error.name
    response = _answer(status, (error.name or "error").lower().replace(" ", "-"), message, {})
    for name, value in error.get_headers():
        if name not in ("Content-Type", "Content-Length"):
            response.headers[name] = value
    return response
