"""Error handlers, and the one table from domain errors to HTTP statuses."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict

from flask import Flask, Response, current_app, jsonify, render_template, request
from werkzeug.exceptions import HTTPException, InternalServerError, RequestEntityTooLarge

from arena import errors
from arena.errors import ArenaError, DatabaseUnusable, TicketUnknown
from arena.phrases import phrase
from arena.settings import SettingsError
from arena.web import security
from arena.web.context import get_context, root
from arena.web.filters import sentence
from arena.web.refusal import Refusal
from arena.web.schemas import ErrorResponse

log = logging.getLogger(__name__)

# Every error of arena.errors has a row. Other errors that reach a page are faults of the server.
STATUSES: dict[type[ArenaError], int] = {
    errors.NoEvent: 409,
    errors.EventExists: 409,
    errors.WrongState: 409,
    errors.AlreadyDone: 409,
    errors.BadSetting: 422,
    errors.BadSecret: 401,
    errors.TicketNeeded: 403,
    errors.TicketFaulty: 422,
    errors.TicketUnknown: 403,
    errors.TicketVoid: 403,
    errors.TicketSpare: 403,
    errors.TicketTooNew: 403,
    errors.TicketTooNewForHeats: 403,
    errors.NoSuchTicket: 404,
    errors.NoSpareTicket: 409,
    errors.PinNeeded: 403,
    errors.PinWrong: 403,
    errors.MatchesBegun: 409,
    errors.BadName: 422,
    errors.BadClaim: 422,
    errors.OverLimits: 422,
    errors.SubmissionsNotOpen: 409,
    errors.SubmissionsClosed: 409,
    errors.OtherModel: 409,
    errors.OtherName: 409,
    errors.QuotaReached: 429,
    errors.LittleSpace: 507,
    errors.EntryNotFound: 404,
    errors.AmbiguousEntry: 409,
    errors.PieceTooLarge: 413,
    errors.WrongOffset: 409,
    errors.NotReceiving: 409,
    errors.BytesLost: 410,
    errors.TensorsDiffer: 422,
    errors.EntriesPending: 409,
    errors.TooManyEntries: 409,
    errors.NotDisqualified: 409,
    errors.TooFewEntries: 409,
    errors.WordMissing: 400,
    errors.WordTaken: 409,
    SettingsError: 422,
    errors.ClocksAgree: 409,
    errors.VotesCast: 409,
    errors.NobodyVoted: 409,
    errors.BackupImpossible: 409,
    errors.NotABackup: 409,
    errors.NoBackup: 404,
    errors.BackupDamaged: 500,
    errors.MatchNotFound: 404,
    errors.MatchNotReady: 409,
    errors.AnotherMatchOpen: 409,
    errors.MatchDecided: 409,
    errors.NothingToUndo: 409,
    errors.MatchNotOpen: 409,
    errors.MatchClosed: 409,
    errors.PollRoundOver: 409,
    errors.VoteNotBegun: 409,
    errors.OwnMatch: 403,
    errors.TooManyChanges: 429,
    errors.HeatsNotOpen: 409,
    errors.NoMatchReady: 409,
    errors.NothingOpen: 409,
    errors.PracticeOver: 409,
    errors.HeatsOpen: 409,
    errors.NotRanked: 409,
    errors.PairGone: 409,
    errors.JudgedTooSoon: 429,
    errors.BadHeartbeat: 422,
    errors.HeartbeatTooSoon: 429,
    errors.RaceOff: 409,
    errors.RaceFull: 409,
    errors.RunReplaced: 409,
    errors.CurveNotFound: 404,
    errors.BadSeeding: 422,
    errors.BadSide: 422,
    errors.TablesDiffer: 500,
    errors.LogBroken: 500,
    errors.NotPublished: 409,
    errors.BadVoterId: 422,
    errors.BundlesMissing: 500,
    errors.DatabaseUnusable: 500,
    errors.BundlesUnreachable: 503,
    errors.DatabaseUnreachable: 503,
    errors.DatabaseBusy: 503,
    errors.DatabaseReadOnly: 500,
    errors.DatabaseFull: 507,
    errors.NoWriteAheadLog: 507,
    errors.DatabaseEncoding: 507,
    errors.DatabaseDamaged: 500,
    errors.TrainerMissing: 500,
    errors.RetrainingFailed: 500,
    errors.DatabaseTooNew: 500,
}


def status_of(error: ArenaError) -> int:
    """Return the HTTP status of a domain error."""
    return STATUSES.get(type(error), 500)


def register(app: Flask) -> None:
    """Register the error handlers of an application."""
    app.register_error_handler(ArenaError, on_arena_error)
    app.register_error_handler(Refusal, on_refusal)
    app.register_error_handler(HTTPException, on_http_error)


def on_arena_error(error: ArenaError) -> Response:
    """Answer with a domain error's status, code and facts. Only the organizer reads what is wrong with the database."""
    if isinstance(error, TicketUnknown) and (refusal := guess_refusal()) is not None:
        return on_refusal(refusal)
    message = error.args[0]
    if isinstance(error, DatabaseUnusable | errors.BundlesUnreachable):
        log.error(message)
        if not get_context().is_console:
            message = phrase("the server cannot use its storage now: try again in a moment, or tell the organizer")
    return error_response(status_of(error), error.code, message, error.facts)


def guess_refusal() -> Refusal | None:
    """Count a ticket that was not issued as a guess; return a refusal if there were too many from this address."""
    ctx = get_context()
    seconds = ctx.guesses.take(security.sender_address(), ctx.now)
    if not seconds:
        return None
    message = phrase(
        "there were many wrong tickets from this address: wait %(seconds)s seconds, and compare yours with the card",
        seconds=seconds,
    )
    return Refusal(429, "attempts", message, seconds)


def on_refusal(error: Refusal) -> Response:
    """Answer a request that a route turned down."""
    response = error_response(error.status, error.code, error.args[0])
    if error.retry_after is not None:
        response.headers["Retry-After"] = str(error.retry_after)
    return response


def on_http_error(error: HTTPException) -> Response:
    """Answer an error of Flask or Werkzeug in our own words."""
    status = error.code or 500
    if isinstance(error, InternalServerError):
        message = phrase(
            "Something went wrong on the server; nothing that was confirmed is lost. Try again in a moment."
        )
    elif isinstance(error, RequestEntityTooLarge):
        limit = request.max_content_length or 0
        message = phrase("That is too large: at most %(limit)s bytes are accepted here.", limit=limit)
    elif status == 404:
        message = phrase("There is no such page. Check the address, or start from the first page.")
    elif status == 405:
        message = phrase("This address cannot be used in this way. Start from the first page.")
    elif status == 400:
        message = phrase("The server did not understand this request. Start from the first page.")
    else:
        message = phrase(
            "The server cannot answer this request (%(status)s). Start from the first page.", status=status
        )
    response = error_response(status, (error.name or "error").lower().replace(" ", "-"), message)
    for name, value in error.get_headers():
        if name not in ("Content-Type", "Content-Length"):
            response.headers[name] = value
    return response


def error_response(status: int, code: str, message: str, facts: Mapping[str, object] | None = None) -> Response:
    """Make the response to an error: JSON for programs, a page for people.

    Args:
        status: the HTTP status.
        code: a short stable name of the rule.
        message: one sentence that says what to do; a program gets it in English, but for the scripts of our pages.
        facts: plain data for programs.

    Returns:
        The response. The page leads to the console from an address of the console, else to the first page.
    """
    is_json = wants_json()
    message = sentence(str(message) if is_json and security.TOKEN_HEADER not in request.headers else message)
    if is_json:
        response = jsonify({**asdict(ErrorResponse(code, message)), **(facts or {})})
    else:
        response = current_app.make_response(render_template("error.html", message=message, status=status))
    response.status_code = status
    if status == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response


def wants_json() -> bool:
    """Whether the request comes from a program."""
    if request.path.startswith("/api/"):
        return True
    return request.accept_mimetypes.best_match(["text/html", "application/json"]) == "application/json"


def home() -> str:
    """Return the address that the header and the error page lead to."""
    return f"{root()}/console" if get_context().is_console else f"{root()}/"
