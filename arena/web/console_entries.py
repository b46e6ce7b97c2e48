"""Actions of the console that enter a bundle for somebody, and that verify verses again."""

from __future__ import annotations

from flask import current_app, render_template, request
from werkzeug.wrappers import Response

from arena.errors import BadSetting
from arena.services import rechecks
from arena.services.claims import MAX_AUTHOR
from arena.web.console import back, console, get_rechecks, show_page
from arena.web.context import get_context
from arena.web.form_uploads import link_of, take_upload
from trainer.verse.identity import new_secret
from trainer.verse.text import pluralize
from trainer.verse.ticket import TicketFault, read_ticket

__all__ = ["console"]  # the blueprint, with these routes


@console.get("/entries/add")
def choose_bundle() -> str:
    """Show the form that enters a bundle for somebody."""
    return render_template("entry_add.html", max_author=MAX_AUTHOR, receipt=None)


@console.post("/entries/add")
def add() -> str:
    """Enter a bundle for somebody who cannot do it alone, and show the link of the entry's author."""
    code = request.form.get("ticket", "").strip()
    try:
        secret = read_ticket(code) if code else new_secret()
    except TicketFault as fault:
        raise BadSetting(str(fault), setting="ticket") from None
    name = request.form.get("name", "")
    receipt = take_upload(request.files.get("bundle"), secret, name, by_organizer=not code)
    return render_template("entry_add.html", max_author=MAX_AUTHOR, receipt=receipt, name=name, link=link_of(secret))


@console.post("/entries/<entry_id>/verify-again")
def verify_again(entry_id: str) -> Response:
    """Verify an entry again; the page shows what would change."""
    get_rechecks().add(rechecks.checked_entries(get_context().db, [entry_id]))
    return back()


@console.post("/verify-again")
def verify_all_again() -> Response:
    """Verify all entries again that were checked."""
    get_rechecks().add(rechecks.checked_entries(get_context().db))
    return back()


@console.post("/verify-again/count")
def count_verdicts() -> Response:
    """Let the new verdicts count that the page showed. One that came since then stays, to be looked at."""
    shown = set(request.form.getlist("shown"))
    done = [one for one in get_rechecks().found() if one.is_done and one.entry.entry in shown]
    results = [(one.entry, one.report) for one in done if one.report is not None]
    counted, problems = rechecks.record_rechecks(get_context().db, results, now=get_context().now)
    get_rechecks().forget([one.entry.entry for one in done])
    outcome = f"{pluralize(counted, 'new verdict counts', 'new verdicts count')}."
    return current_app.make_response(show_page(done=" ".join([outcome, *(f"{problem}." for problem in problems)])))


@console.post("/verify-again/forget")
def forget_verdicts() -> Response:
    """Forget what was found: nothing changes."""
    get_rechecks().forget([one.entry.entry for one in get_rechecks().found()])
    return back()
