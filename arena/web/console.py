"""The console: one page on the organizer's machine, behind a password, that runs the event.

Every action is a POST that calls one service and leads back to the page. After an error the page has a note.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from urllib.parse import urlencode

from flask import Blueprint, current_app, redirect, render_template, request
from werkzeug.wrappers import Response

from arena.addresses import address_url, list_addresses
from arena.errors import ArenaError, BadSetting, DatabaseUnusable
from arena.services import bracket, disqualification, drawing, events, heats, publishing, queries, race, timing
from arena.services.entry_filter import EntryFilter, parse_moment
from arena.services.schemas import ConsoleEntry, ConsoleView, HeatsView
from arena.settings import is_local_url
from arena.web import security
from arena.web.console_health import HealthWatch
from arena.web.context import get_context
from arena.web.cookies import stage_address
from arena.web.errors import home, on_arena_error, status_of
from arena.web.filters import sentence
from arena.web.rechecks import Rechecks

console = Blueprint("console", __name__, url_prefix="/console")

REFRESH_SECONDS = 3  # between two updates of the page
MAX_MINUTES = 7 * 24 * 60  # until submissions close
MAX_SECONDS = 3_600  # of a vote
LOGIN_PAGES = ("console.login",)


@console.before_request
def _require_login() -> Response | str | None:
    """Lead to the login when the password was not entered; then a form does nothing."""
    if request.endpoint in LOGIN_PAGES or security.console_session().inside:
        return None
    return redirect(f"{home()}/login", 303)


@console.errorhandler(ArenaError)
def _problem(error: ArenaError) -> Response:
    if isinstance(error, DatabaseUnusable):  # the page needs the database, too
        return on_arena_error(error)
    response = current_app.make_response(show_page(problem=sentence(str(error))))
    response.status_code = status_of(error)
    return response


@console.route("/login", methods=["GET", "POST"])
def login() -> str | Response:
    """Show the login, or log in."""
    if request.method == "GET":
        return render_template("login.html", wrong=False)
    if not security.right_password(request.form.get("password", "")):
        response = current_app.make_response(render_template("login.html", wrong=True))
        response.status_code = 403
        return response
    security.log_in()
    return back()


@console.post("/logout")
def logout() -> Response:
    """Log out, in every browser."""
    security.log_out()
    return redirect(f"{home()}/login", 303)


@console.get("")
def page() -> str:
    """Show the console."""
    return show_page()


@console.post("/submissions/open")
def open_submissions() -> Response:
    """Open submissions."""
    minutes = number("minutes", 0, MAX_MINUTES)
    now = get_context().now
    events.open_submissions(get_context().db, closes_at=now + 60 * minutes if minutes else None, seen=seen(), now=now)
    return back()


@console.post("/submissions/closing")
def closing() -> Response:
    """Set the time at which submissions close."""
    minutes = number("minutes", 0, MAX_MINUTES)
    now = get_context().now
    events.set_closing_time(get_context().db, now + 60 * minutes if minutes else None, seen=seen(), now=now)
    return back()


@console.post("/submissions/close")
def close_submissions() -> Response:
    """Close submissions."""
    events.close_submissions(get_context().db, seen=seen(), now=get_context().now)
    return back()


@console.post("/draw")
def draw() -> Response:
    """Draw the bracket."""
    form = request.form
    chosen, places = read_seeding()
    drawing.draw_bracket(
        get_context().db,
        word=form.get("word"),
        without_missing="without_missing" in form,
        seeding=chosen,
        places=places,
        seen=seen(),
        now=get_context().now,
    )
    return back()


@console.post("/draw/undo")
def undo_draw() -> Response:
    """Take the draw back."""
    drawing.undo_draw(get_context().db, seen=seen(), now=get_context().now)
    return back()


@console.post("/matches/<match_id>/open")
def open_match(match_id: str) -> Response:
    """Open the vote of a match."""
    seconds = number("seconds", 0, MAX_SECONDS)
    bracket.open_match(get_context().db, match_id, seconds=seconds, seen=seen(), now=get_context().now)
    return back()


@console.post("/matches/<match_id>/close")
def close_match(match_id: str) -> Response:
    """Close one round of a match's vote."""
    by_lot = "by_lot" in request.form
    bracket.close_match(
        get_context().db, match_id, poll_round=poll_round(), by_lot=by_lot, seen=seen(), now=get_context().now
    )
    return back()


@console.post("/matches/<match_id>/time")
def set_match_time(match_id: str) -> Response:
    """Give an open match more time, or stop its clock."""
    seconds, now = number("seconds", 0, MAX_SECONDS), get_context().now
    closes_at = now + seconds if seconds else None
    bracket.set_match_time(
        get_context().db, match_id, poll_round=poll_round(), closes_at=closes_at, seen=seen(), now=now
    )
    return back()


@console.post("/matches/<match_id>/undo")
def undo_match(match_id: str) -> Response:
    """Undo a match."""
    bracket.undo_match(get_context().db, match_id, seen=seen(), now=get_context().now)
    return back()


@console.post("/entries/<entry_id>/disqualify")
def disqualify(entry_id: str) -> Response:
    """Disqualify an entry."""
    reason = request.form.get("reason", "")
    disqualification.disqualify(get_context().db, entry_id, reason, seen=seen(), now=get_context().now)
    return back()


@console.get("/entries")
def choose_entries() -> str:
    """Choose entries by owner, time and name, and show what disqualifying or reinstating them would change."""
    ctx = get_context()
    wanted = EntryFilter(
        owner=request.args.get("owner", "").strip() or None,
        since=_moment("since"),
        until=_moment("until"),
        name=request.args.get("name", "").strip() or None,
    )
    back = "reinstate" in request.args
    chosen = []
    if not wanted.is_empty:  # what is claimed after this page was made is not meant
        wanted = replace(wanted, until=min(ctx.now, wanted.until or ctx.now))
        chosen = _chosen(wanted, back)
    return render_template("entries.html", wanted=wanted, chosen=chosen, back=back)


@console.post("/entries/disqualify")
def disqualify_chosen() -> Response:
    """Disqualify the entries that `choose_entries` showed."""
    ids = [entry.entry for entry in _chosen(_shown_filter(), False)]
    disqualification.disqualify_all(get_context().db, ids, request.form.get("reason", ""), now=get_context().now)
    return back()


@console.post("/entries/reinstate")
def reinstate_chosen() -> Response:
    """Reinstate the entries that `choose_entries` showed."""
    ids = [entry.entry for entry in _chosen(_shown_filter(), True)]
    disqualification.reinstate_all(get_context().db, ids, now=get_context().now)
    return back()


def _shown_filter() -> EntryFilter:
    """Return the filter of the page with this form, which says until when entries are meant."""
    return EntryFilter(
        owner=request.form.get("owner") or None,
        since=number("since", 0, 2**40) or None,
        until=number("until", 1, 2**40),
        name=request.form.get("name") or None,
    )


def _chosen(wanted: EntryFilter, back: bool) -> list[ConsoleEntry]:
    """Return the entries that can be disqualified, or reinstated, and that the filter means."""
    states = disqualification.REINSTATABLE if back else disqualification.DISQUALIFIABLE
    return wanted.choose(entry for entry in queries.list_entries(get_context().db) if entry.state in states)


def _moment(name: str) -> float | None:
    """Return a time of the query; None if the field is empty."""
    text = request.args.get(name, "").strip()
    return parse_moment(text, get_context().now) if text else None


@console.post("/entries/<entry_id>/reinstate")
def reinstate(entry_id: str) -> Response:
    """Reinstate an entry."""
    disqualification.reinstate(get_context().db, entry_id, seen=seen(), now=get_context().now)
    return back()


@console.post("/address")
def set_address() -> Response:
    """Set the address of the QR codes and links."""
    ctx = get_context()
    url = address_url(
        request.form.get("address", "")[:200], ctx.base_url, path=ctx.settings.path, port=ctx.settings.port
    )
    events.set_address(ctx.db, url, seen=seen(), now=ctx.now)
    return back()


@console.post("/clock")
def follow_clock() -> Response:
    """Take the computer's time for the event's."""
    ctx = get_context()
    keep = request.form.get("keep") == "time-left"
    timing.follow_computer(ctx.db, ctx.event.clock, keep_time_left=keep, seen=seen())
    return back()


@console.post("/publish")
def publish() -> Response:
    """Publish the event."""
    publishing.publish(get_context().db, seen=seen(), now=get_context().now)
    return back()


def read_seeding() -> tuple[drawing.Seeding, int | None]:
    """Return how the bracket is to be seeded, and how many of the heats go on.

    Raises:
        BadSetting: The form does not say.
        EntryNotFound: A line of the seeds by hand names no entry.
    """
    chosen = request.form.get("seeding", "lot")
    if chosen == "hand":
        return queries.read_seeds(get_context().db, request.form.get("seeds", "")), None
    if chosen == "lot":
        return "lot", None
    heats, _, places = chosen.partition("-")
    if heats != "heats" or not (places == "all" or (places.isascii() and places.isdigit() and len(places) <= 4)):
        raise BadSetting("choose how the bracket is seeded: by lot, by the heats or by hand", setting="seeding")
    return "heats", None if places == "all" else int(places)


def show_page(problem: str | None = None, done: str | None = None) -> str:
    """Show the console, with a note about what was refused, or about what was done."""
    ctx = get_context()
    settings = ctx.settings
    view = queries.console_view(ctx.db, now=ctx.now)
    sought = " ".join(request.args.get("find", "")[:100].split()) if request.method == "GET" else ""
    connected = ctx.phones() if ctx.phones is not None else None
    return render_template(
        "console.html",
        view=view,
        sought=sought,
        found=[entry for entry in view.entries if _matches(entry, sought)],
        titles={match.id: match.title for match in view.matches},
        connected=connected,
        health=_health_watch().look(view, None if settings.has_many_hosts else connected, ctx.now),
        many_hosts=settings.has_many_hosts,
        min_free=settings.min_free_bytes,
        heats=get_heats(view) if view.phase in ("entering", "checking") else None,
        race=race.list_race(ctx.db) if view.phase in ("before", "entering", "checking") else None,
        problem=problem,
        warning=sentence(warning) if (warning := ctx.warning()) else "",
        done=done,
        rechecks=get_rechecks().found(),
        phones=ctx.base_url,
        addresses=list_addresses() if settings.host in ("0.0.0.0", "::") else [],
        clock=ctx.event.clock,
        stage=stage_address(settings, view.event.admission, ctx.base_url if ctx.console_remote else settings.local_url),
        unreachable=is_local_url(ctx.base_url),
        now=ctx.now,
        key=f"{view.log_number}",
        every=REFRESH_SECONDS,
        page=f"{home()}?{urlencode({'find': sought})}" if sought else home(),  # to ask again, also after a POST
    )


def _matches(entry: ConsoleEntry, sought: str) -> bool:
    """Whether an entry is one of those that the organizer looks for."""
    words = " ".join((entry.name, entry.prompt + entry.text, entry.state, entry.entry, f"seed {entry.seed}")).casefold()
    return all(word in words for word in sought.casefold().split())


def _health_watch() -> HealthWatch:
    """Return the watch of this application."""
    settings = get_context().settings
    watch = current_app.extensions.setdefault("health", HealthWatch(settings.dir, settings.min_free_bytes))
    assert isinstance(watch, HealthWatch)
    return watch


def get_rechecks() -> Rechecks:
    """Return the verses that this application verifies again."""
    found = current_app.extensions.setdefault("rechecks", Rechecks(get_context().bundles))
    assert isinstance(found, Rechecks)
    return found


def get_heats(view: ConsoleView) -> HeatsView:
    """Return the heats; the ranking is computed when there are other judgements."""
    ctx = get_context()
    return ctx.cached("heats", (view.log_number, view.judgements), lambda: heats.get_heats(ctx.db))


def seen() -> int:
    """Return the number of the log's latest record when the page with this form was made.

    Raises:
        BadSetting: The form does not say.
    """
    text = request.form.get("seen", "")
    if not (text.isascii() and text.isdigit() and len(text) <= 12):
        raise BadSetting("this form does not say which state it was made from: open the page again", setting="seen")
    return int(text)


def poll_round() -> int:
    """Return the round of the poll that a form is meant for.

    Raises:
        BadSetting: The form does not say.
    """
    return int(number("poll_round", 0, 1))


def number(name: str, least: int, most: int, fields: Mapping[str, str] | None = None) -> float:
    """Return a number of the form; an empty field is 0.

    Args:
        name: the field's name.
        least: the smallest number allowed.
        most: the largest number allowed.
        fields: of the form; None: those that were posted.

    Returns:
        The number.

    Raises:
        BadSetting: It is not a number, or out of bounds.
    """
    text = (request.form if fields is None else fields).get(name, "").strip().replace(",", ".") or "0"
    try:
        value = float(text) if len(text) <= 24 else -1.0
    except ValueError:
        value = -1.0
    if not least <= value <= most:
        raise BadSetting(f"{name} must be a number from {least} to {most:,}", value=text[:40])
    return value


def back() -> Response:
    """Lead back to the page."""
    return redirect(home(), 303)
