"""Actions of the console for rules, names, verses held back, and who may vote."""

from __future__ import annotations

from flask import current_app, request
from werkzeug.wrappers import Response

from arena.services import editing, events, tickets, voters
from arena.web.console import back, console, number, seen, show_page
from arena.web.context import get_context

__all__ = ["console"]  # the blueprint, with these routes

RULES = {  # fields of the form for rules: a factor to what the rule counts in, and bounds of what is typed
    "lines": (1, 1, 64),
    "characters": (1, 1, 10_000),
    "prompt_characters": (1, 1, 65_536),
    "max_entries": (1, 1, 10_000),
    "max_claims": (1, 1, 10_000),
    "check_seconds": (1, 1, 86_400),
    "check_memory": (2**20, 1, 2**20),
    "reading_seconds": (1, 0, 3_600),
    "match_seconds": (1, 0, 86_400),
    "revote_seconds": (1, 0, 86_400),
}


@console.post("/rules")
def set_rules() -> Response:
    """Set the title, the rules and the limits that the form has."""
    changes = {
        rule: factor * number(rule, least, most)
        for rule, (factor, least, most) in RULES.items()
        if rule in request.form
    }
    whole = {rule: int(value) if value == int(value) else value for rule, value in changes.items()}
    name = request.form.get("name")
    events.set_rules(get_context().db, name=name, seen=seen(), now=get_context().now, **whole)
    return back()


@console.post("/entries/<entry_id>/name")
def set_name(entry_id: str) -> Response:
    """Give an entry another name."""
    editing.set_name(get_context().db, entry_id, request.form.get("name", ""), seen=seen(), now=get_context().now)
    return back()


@console.post("/entries/<entry_id>/mask")
def mask_name(entry_id: str) -> Response:
    """Mask the name of an entry, or show it again."""
    masked = "off" not in request.form
    editing.set_masked(get_context().db, entry_id, masked, seen=seen(), now=get_context().now)
    return back()


@console.post("/entries/<entry_id>/hold")
def hold(entry_id: str) -> Response:
    """Hold an entry back from the draw, or release it."""
    held = "off" not in request.form
    editing.set_held(get_context().db, entry_id, held, seen=seen(), now=get_context().now)
    return back()


@console.post("/admission")
def set_admission() -> Response:
    """Choose who may vote."""
    voters.set_admission(get_context().db, request.form.get("mode", "")[:20], seen=seen(), now=get_context().now)
    return back()


@console.post("/tickets/replace")
def replace_ticket() -> Response:
    """Replace a lost card by a spare one."""
    by = int(number("by", 0, tickets.MAX_TICKETS)) or None
    handed = tickets.replace(get_context().db, _card(), by, seen=seen(), now=get_context().now)
    return current_app.make_response(show_page(done=f"Hand out card {handed}. The lost one is void."))


@console.post("/tickets/activate")
def activate_ticket() -> Response:
    """Make a spare card valid."""
    tickets.activate(get_context().db, [_card()], seen=seen(), now=get_context().now)
    return back()


@console.post("/tickets/void")
def void_ticket() -> Response:
    """Declare a card void."""
    tickets.void(get_context().db, [_card()], seen=seen(), now=get_context().now)
    return back()


def _card() -> int:
    return int(number("number", 1, tickets.MAX_TICKETS))
