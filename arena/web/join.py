"""The page where a phone gets the right to vote: by the code of a ticket, or by the PIN that the stage shows.

The code on a card is in the fragment of its address, which a browser sends to nobody; ticket.js takes it from there and
sends it as a form. So it is in no log, no referrer and no history.
"""

from __future__ import annotations

from flask import Blueprint, current_app, redirect, render_template, request
from werkzeug.wrappers import Response

from arena.errors import ArenaError, PinWrong, TicketFaulty, TicketUnknown
from arena.phrases import Phrase, phrase
from arena.services import voters
from arena.web import security
from arena.web.context import get_context
from arena.web.errors import guess_refusal, home, status_of
from arena.web.filters import sentence
from arena.web.refusal import Refusal
from trainer.verse.ticket import CHECK_SYMBOLS, RANDOM_SYMBOLS, TicketFault, read_ticket

join = Blueprint("join", __name__)


@join.get("/join")
def page() -> str:
    """Show the form for the code or the PIN, or that none is needed."""
    return _page()


@join.post("/join")
def take() -> Response:
    """Take a code or a PIN, and lead to the vote; or show the form again, with what is wrong."""
    ctx = get_context()
    try:
        match ctx.snapshot().admission:
            case "tickets":
                _take_ticket(request.form.get("code", ""))
            case "pin":
                _take_pin(request.form.get("code", ""))
    except (ArenaError, Refusal) as error:
        limited = guess_refusal() if isinstance(error, TicketUnknown) else None
        problem = limited or error
        response = current_app.make_response(_page(sentence(problem), request.form.get("code", "")[:60]))
        response.status_code = problem.status if isinstance(problem, Refusal) else status_of(problem)
        if isinstance(problem, Refusal) and problem.retry_after is not None:
            response.headers["Retry-After"] = str(problem.retry_after)
        return response
    return redirect(home(), 303)


def _page(problem: str | None = None, typed: str = "") -> str:
    ctx = get_context()
    identity = voters.who_is(ctx.db, security.voter_secret())
    return render_template("join.html", identity=identity, problem=problem, typed=typed)


def _take_ticket(text: str) -> None:
    """Let the browser vote with a ticket. The right code is taken however many wrong ones came before it."""
    try:
        code = read_ticket(text)
    except TicketFault as fault:
        raise TicketFaulty(_fault(fault)) from None
    voters.who_is(get_context().db, code).require_vote()
    security.use_secret(code)


def _take_pin(text: str) -> None:
    """Let the browser vote that has typed the PIN."""
    ctx = get_context()
    secret = security.voter_secret()
    if voters.who_is(ctx.db, secret).refusal is None:
        return
    if seconds := ctx.guesses.wait(security.sender_address(), ctx.now):
        raise _wait(phrase("there were many wrong PINs from this address"), seconds)
    try:
        voters.check_pin(text, ctx.settings.secret_key, now=ctx.now)
    except PinWrong:
        ctx.guesses.take(security.sender_address(), ctx.now)
        raise
    if seconds := ctx.joins.take(security.sender_address(), ctx.now):
        raise _wait(phrase("many phones have just joined from this address"), seconds)
    voters.admit(ctx.db, secret, now=ctx.now)


def _wait(reason: Phrase, seconds: int) -> Refusal:
    message = phrase("%(reason)s: wait %(seconds)s seconds, and send it again", reason=reason, seconds=seconds)
    return Refusal(429, "attempts", message, seconds)


def _fault(fault: TicketFault) -> Phrase:
    """Return what is wrong with a code."""
    match fault.symbol, fault.length:
        case str() as symbol, _:
            return phrase("a ticket has only letters and digits, and this has '%(symbol)s'", symbol=symbol)
        case _, int() as length:
            return phrase(
                "a ticket has %(wanted)s letters and digits, and this has %(length)s",
                wanted=RANDOM_SYMBOLS + CHECK_SYMBOLS,
                length=length,
            )
    return phrase("a letter or a digit of this ticket is wrong: compare it with the card")
