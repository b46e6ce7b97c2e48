"""The factory of the Flask application."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from urllib.parse import quote, urlencode

from flask import Flask, Response, abort, current_app, redirect, request

from arena.bootstrap import EventContext
from arena.services import queries
from arena.services.schemas import Snapshot
from arena.services.uploads import PIECE_BYTES
from arena.web import (
    api,
    console_editing,
    console_entries,
    console_voting,
    downloads,
    errors,
    filters,
    heats,
    join,
    public,
    race,
    reactions,
    routes,
    security,
    stage,
    wheels,
    windows,
)
from arena.web.assets import compress, read_assets
from arena.web.compiled_templates import CompiledTemplates
from arena.web.context import AppContext, get_context, root, static_address
from arena.web.cookies import ConsoleSessions
from arena.web.limits import KIB, console_limits, public_limits
from arena.web.modules import ENGINE
from arena.web.reaction_counts import SIGNS
from arena.web.theme import THEME, logo_name, theme_assets
from arena.web.translation import (
    LANGUAGE_COOKIE,
    LANGUAGE_FIELD,
    NAMES,
    format_minute,
    format_number,
    get_plural,
    get_text,
    language,
    script_words,
    translate,
    use_language,
)
from trainer.verse.text import pluralize

TEMPLATES = CompiledTemplates()
FORM_MEMORY = 256 * KIB  # bytes; Werkzeug counts the 64 KiB it reads of a file at a time, and some before them
COMPRESSED = ("text/html", "application/json")
MIN_COMPRESSED = 400  # bytes; a smaller body fits one packet anyway
SAFE = ("GET", "HEAD", "OPTIONS")


def create_app(
    event: EventContext,
    *,
    clock: Callable[[], float] | None = None,
    snapshot: Callable[[], Snapshot] | None = None,
) -> Flask:
    """Make the application for everybody: pages, stage and API. It has no page of the console.

    Args:
        event: its settings, database and files. Secrets of the settings sign cookies and forms.
        clock: seconds since the epoch; None: the event's clock.
        snapshot: returns the gateway's snapshot from memory; None: read the database each time.

    Returns:
        The application.
    """
    clock = clock or event.clock
    announced = snapshot or partial(queries.announced, event.db)
    snapshot = snapshot or (lambda: queries.snapshot(event.db, now=clock()))
    app = _make_app(AppContext(event, clock, snapshot, announced, read_assets() | theme_assets(event.settings)))
    blueprints = (public.pages, downloads.downloads, heats.heats, race.race, join.join, api.api, stage.stage)
    for blueprint in (*blueprints, wheels.wheels, reactions.reactions):
        app.register_blueprint(blueprint)
    return app


def create_console(
    event: EventContext,
    *,
    clock: Callable[[], float] | None = None,
    sessions: ConsoleSessions | None = None,
    remote: bool = False,
    phones: Callable[[], int] | None = None,
    metrics: Callable[[], bytes] = bytes,
    warning: Callable[[], str] = str,
) -> Flask:
    """Make the console's application, for a port of its own.

    Args:
        event: its settings, database and files. Secrets of the settings sign cookies and forms.
        clock: seconds since the epoch; None: the event's clock.
        sessions: those that the gateway reads, too; None: new ones.
        remote: answer through a proxy, which needs TLS.
        phones: returns how many listen for changes; None: not known.
        metrics: returns the server's metrics, in the format of Prometheus.
        warning: returns what the organizer must know of the server's other parts, or "".

    Returns:
        The application.
    """
    clock = clock or event.clock
    sessions = sessions or ConsoleSessions(event.settings)
    context = AppContext(
        event,
        clock,
        lambda: queries.snapshot(event.db, now=clock()),
        partial(queries.announced, event.db),
        read_assets() | theme_assets(event.settings),
        sessions,
        remote,
        phones,
        metrics=metrics,
        warning=warning,
    )
    app = _make_app(context)
    [blueprint] = {
        console_editing.console,
        console_entries.console,
        console_voting.console,
    }  # one, with the routes of all files
    app.register_blueprint(blueprint)
    app.add_url_rule("/", "home", lambda: redirect(errors.home()))
    app.add_url_rule("/metrics", "metrics", _metrics)
    return app


def _make_app(context: AppContext) -> Flask:
    app = Flask(__name__, static_folder=None)
    app.config.update(MAX_FORM_MEMORY_SIZE=FORM_MEMORY)
    app.extensions["arena"] = context
    app.json.sort_keys = False  # type: ignore[attr-defined]  # the default provider has it
    app.jinja_env.bytecode_cache = TEMPLATES
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.jinja_env.add_extension("jinja2.ext.i18n")
    app.jinja_env.install_gettext_callables(get_text, get_plural, newstyle=True)  # type: ignore[attr-defined]
    app.jinja_env.filters.update(
        verse_lines=filters.verse_lines,
        first_words=filters.first_words,
        single_line=filters.single_line,
        duration=filters.duration,
        iso_time=filters.iso_time,
        clock_time=filters.clock_time,
        sentence=filters.sentence,
        number=format_number,
        minute_time=format_minute,
        translate=translate,
        megabytes=filters.megabytes,
        in_groups=filters.in_groups,
        head_code=filters.head_code,
    )
    app.jinja_env.globals.update(
        pluralize=pluralize,
        qr=filters.qr,
        static=static_address,
        form_token=security.form_token,
        root=root,
        home=errors.home,
        is_console=lambda: get_context().is_console,
        state_address=routes.STATE.path,
        events_address=routes.EVENTS.path,
        entries_address=routes.ENTRIES,
        race_address=routes.RACE.path,
        piece_bytes=PIECE_BYTES,
        themed=THEME in context.static,
        reactions_taken=reactions.are_taken,
        signs=SIGNS,
        logo=logo_name(context.static),
        install_line=wheels.install_line,
        language=language,
        languages=NAMES,
        words=script_words,
        in_borrowed_window=windows.in_borrowed_window,
        is_in_room=windows.is_in_room,
        base_address=lambda: get_context().base_url,
    )
    app.context_processor(lambda: {"event_name": filters.single_line(context.title)})
    app.add_url_rule("/static/<name>", "static", _static)
    app.before_request(_before)
    app.after_request(_after)
    errors.register(app)
    return app


def _metrics() -> Response:
    """Show the server's metrics, without a login: numbers only, and only on this machine."""
    return Response(get_context().metrics(), content_type="text/plain; version=0.0.4; charset=utf-8")


def _static(name: str) -> Response:
    asset = get_context().static.get(name)
    if asset is None:
        abort(404)
    response = asset.response(request)
    response.set_etag(asset.digest, weak=True)
    immutable = request.args.get("v") == asset.digest
    response.headers["Cache-Control"] = "public, max-age=31536000, immutable" if immutable else "no-cache"
    if name == ENGINE:
        response.headers["Content-Security-Policy"] = security.ENGINE_POLICY
    response.make_conditional(request)
    return response


def _before() -> Response | None:
    """Check size, access to the console, and the token of every form. The API checks its own callers."""
    if get_context().is_console:
        security.guard_console()
        request.max_content_length = console_limits(request.method, request.path).max_bytes  # as the gateway
    else:
        request.max_content_length = public_limits(request.method, request.path).max_bytes
    if request.method not in SAFE and request.url_rule is not None and request.blueprint != "api":
        security.check_form_token(request.form.get(security.TOKEN_FIELD))
    if request.method == "GET" and request.args.get(LANGUAGE_FIELD) in NAMES and not get_context().is_console:
        return _choose_language(request.args[LANGUAGE_FIELD])
    return None


def _choose_language(code: str) -> Response:
    """Remember the language that was chosen at the foot of a page, and show the same page again.

    It needs no form: a page that is kept for everybody has none, and whoever makes somebody follow such a link changes
    nothing but the language.
    """
    use_language(code)
    rest = [(name, value) for name, value in request.args.items(multi=True) if name != LANGUAGE_FIELD]
    path = f"{root()}/" + quote(request.path.lstrip("/"))  # of this server: two slashes would name another one
    response = current_app.make_response(redirect(path + ("?" + urlencode(rest) if rest else ""), 303))
    secure = get_context().base_url.startswith("https:")
    response.set_cookie(
        LANGUAGE_COOKIE, code, path=root() or "/", max_age=security.YEAR, httponly=True, samesite="Lax", secure=secure
    )
    return response


def _after(response: Response) -> Response:
    security.set_cookies(response)
    for name, value in security.HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers.setdefault("Cache-Control", "no-store")
    return _compress(response)


def _compress(response: Response) -> Response:
    """Compress text by gzip. Form tokens differ each time, so that the length does not reveal them."""
    if response.mimetype not in COMPRESSED or response.status_code != 200 or "Content-Encoding" in response.headers:
        return response
    response.vary.add("Accept-Encoding")
    if request.method == "HEAD" or request.accept_encodings.quality("gzip") <= 0:
        return response
    data = response.get_data()
    if len(data) >= MIN_COMPRESSED:
        response.set_data(compress(data))
        response.headers["Content-Encoding"] = "gzip"
    return response
