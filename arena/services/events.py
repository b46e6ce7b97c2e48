"""The event itself: it is created, its submissions are opened and closed, and its results published."""

from __future__ import annotations

import math
from dataclasses import fields, replace
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from arena.errors import BadName, BadSetting, EventExists, NoEvent, WrongState
from arena.phrases import phrase
from arena.rules.bracket import MAX_PLACES
from arena.rules.chain import commitment, log_salt, nonce
from arena.rules.draw import salt_digest
from arena.rules.lifecycle import (
    TIMES,
    Action,
    EventState,
    allowed_states,
    allows,
    check_transition,
    state_at,
)
from arena.services.log import append, require_unchanged
from arena.services.schemas import EventRules, EventView
from arena.store.schema import THE_EVENT, Event
from arena.store.unit_of_work import Database
from arena.verification.cost import MIN_MEMORY
from trainer.verse.characters import clean_line
from trainer.verse.errors import LineError
from trainer.verse.identity import new_secret

STATE_CHANGES = {  # kinds of log records that change the event's state, in words
    "submissions-opened": "submissions were opened",
    "submissions-closed": "submissions were closed",
    "bracket-drawn": "the bracket was drawn",
    "draw-undone": "the draw was taken back",
    "champion": "the champion was found",
    "published": "the event was published",
}
MAX_NAME = 80  # characters of an event's name


def create_event(
    db: Database,
    *,
    name: str,
    rules: EventRules = EventRules(),  # noqa: B008  (frozen)
    salt: str | None = None,
    receipt_key: str | None = None,
    now: float,
) -> EventView:
    """Create the event of this database, in state draft.

    Args:
        db: the event's database.
        name: what every page calls the event.
        rules: limits of entries and lengths of votes.
        salt: the secret that the log's salt and the nonce follow from (`rules.chain`); random if None.
        receipt_key: the public key that signs receipts, hexadecimal; None: unknown.
        now: seconds since the epoch.

    Raises:
        EventExists: The database has an event.
        BadName: The name is not one line of 1 to 80 characters.
        BadSetting: A rule is out of bounds.
    """
    name = clean_name(name, MAX_NAME, "an event's name")
    check_rules(rules)
    with db.writing() as session:
        check_vacant(session)
        event = Event(
            id=THE_EVENT,
            name=name,
            state="draft",
            salt=salt or new_secret(),
            created_at=now,
            **vars(rules),
        )
        session.add(event)
        session.flush()
        data = {
            "name": name,
            "rules": vars(rules),
            "salt": commitment(log_salt(event.salt)),
            "nonce": commitment(nonce(event.salt)),
            "receipt_key": receipt_key,
        }
        append(session, "event-created", data, now=now)
        return view_of(event)


def check_vacant(session: Session) -> None:
    """Check that the database holds no event.

    Raises:
        EventExists: It does.
    """
    if existing := session.get(Event, THE_EVENT):
        raise EventExists(existing.name)


def current_event(db: Database) -> EventView:
    """Return the event.

    Raises:
        NoEvent: There is none.
    """
    with db.reading() as session:
        return view_of(the_event(session))


def set_rules(
    db: Database, *, name: str | None = None, seen: int | None = None, now: float, **changes: float
) -> EventView:
    """Change rules of the event, or its title. Entries that are in stay in, whatever the new limits.

    Before the bracket is drawn every rule may change; after that the title, and the times of matches to come.

    Args:
        db: the event's database.
        name: what every page calls the event; None: as it is.
        seen: number of the log's latest record that the caller was shown; None: not checked.
        now: seconds since the epoch.
        changes: new values of fields of `EventRules`.

    Raises:
        AlreadyDone: The event has changed since the caller was shown it.
        BadName: The name is not one line of 1 to 80 characters.
        BadSetting: A rule is out of bounds.
        WrongState: The bracket is drawn, or the event is over.
    """
    name = None if name is None else clean_name(name, MAX_NAME, "an event's name")
    with db.writing() as session:
        event = the_event(session)
        require_unchanged(session, seen, {**STATE_CHANGES, "rules-set": "other rules were set"})
        before = rules_of(event)
        changes = {field: value for field, value in changes.items() if value != getattr(before, field)}
        require(event, Action.SET_LIMITS if changes.keys() - TIMES else Action.SET_TIMES)
        check_rules(replace(before, **changes))  # type: ignore[arg-type]  # some are whole numbers, as they must be
        data: dict[str, Any] = dict(changes)
        for field, value in changes.items():
            setattr(event, field, value)
        if name is not None and name != event.name:
            event.name = name
            event.edits += 1
            data["name"] = name
        if data:
            append(session, "rules-set", data, now=now)
        return view_of(event)


def open_submissions(
    db: Database,
    *,
    closes_at: float | None = None,
    draw_salt: str | None = None,
    seen: int | None = None,
    now: float,
) -> EventView:
    """Open submissions, also after they were closed. The draw will have a new salt, and a new word.

    Args:
        db: the event's database.
        closes_at: when submissions close automatically; None: by hand only.
        draw_salt: the salt of the draw; random if None.
        seen: number of the log's latest record that the caller was shown; None: not checked.
        now: seconds since the epoch.

    Raises:
        AlreadyDone: The event has changed since the caller was shown it.
        BadSetting: The closing time is not in the future.
        WrongState: Submissions are open, or the bracket is drawn.
    """
    with db.writing() as session:
        event = the_event(session)
        require_unchanged(session, seen, STATE_CHANGES)
        require(event, Action.OPEN_SUBMISSIONS)
        _check_future(closes_at, now)
        move(event, Action.OPEN_SUBMISSIONS, "open")
        event.closes_at = closes_at
        event.closed_at = event.grace_ends_at = None
        event.draw_salt, event.draw_word = draw_salt or new_secret(), ""
        data = {"closes_at": closes_at, "draw_salt_digest": salt_digest(event.draw_salt), "nonce": nonce(event.salt)}
        append(session, "submissions-opened", data, now=now)
        return view_of(event)


def set_closing_time(db: Database, closes_at: float | None, *, seen: int | None = None, now: float) -> EventView:
    """Set when submissions close automatically.

    Args:
        db: the event's database.
        closes_at: seconds since the epoch; None: by hand only.
        seen: number of the log's latest record that the caller was shown; None: not checked.
        now: seconds since the epoch.

    Raises:
        AlreadyDone: The event has changed since the caller was shown it.
        BadSetting: The closing time is not in the future.
        WrongState: Submissions are closed.
    """
    with db.writing() as session:
        event = the_event(session)
        require_unchanged(session, seen, {**STATE_CHANGES, "closing-time-set": "another closing time was set"})
        require(event, Action.SET_CLOSING_TIME, now=now)
        _check_future(closes_at, now)
        event.closes_at = closes_at
        append(session, "closing-time-set", {"closes_at": closes_at}, now=now)
        return view_of(event)


def close_submissions(db: Database, *, seen: int | None = None, now: float) -> EventView:
    """Close submissions. Tensors of accepted claims may follow until the grace time is over.

    Args:
        db: the event's database.
        seen: number of the log's latest record that the caller was shown; None: not checked.
        now: seconds since the epoch.

    Raises:
        AlreadyDone: The event has changed since the caller was shown it.
        WrongState: Submissions are not open.
    """
    with db.writing() as session:
        event = the_event(session)
        require_unchanged(session, seen, STATE_CHANGES)
        require(event, Action.CLOSE_SUBMISSIONS)
        close(session, event, min(now, event.closes_at if event.closes_at is not None else now), now=now)
        return view_of(event)


def start_address(db: Database, url: str) -> None:
    """Keep the address that a server starts with; one that was chosen for the server before no longer counts.

    Args:
        db: the event's database.
        url: the beginning of links, without a slash at its end.
    """
    with db.writing() as session:
        the_event(session).address = url


def set_address(db: Database, url: str, *, seen: int | None = None, now: float) -> EventView:
    """Set the address that the QR codes and links of all pages have, while the event is served.

    Args:
        db: the event's database.
        url: the beginning of links, without a slash at its end; the caller has checked it.
        seen: number of the log's latest record that the caller was shown; None: not checked.
        now: seconds since the epoch.

    Raises:
        AlreadyDone: Another address was set since the caller was shown this one.
    """
    with db.writing() as session:
        event = the_event(session)
        require_unchanged(session, seen, {"address-set": "another address was set"})
        if event.address != url:
            event.address = url
            append(session, "address-set", {"address": url}, now=now)
        return view_of(event)


def current_address(db: Database) -> str:
    """Return the address that was set when the event was served last, or since; "": never served."""
    with db.reading() as session:
        return the_event(session).address


def mark_restored(db: Database, *, made_at: float, now: float) -> None:
    """Record that the event goes on from a backup, so that phones send again what it may not have.

    Args:
        db: the event's database, as restored.
        made_at: when the backup was made, seconds since the epoch.
        now: seconds since the epoch.
    """
    with db.writing() as session:
        event = the_event(session)
        event.epoch += 1
        append(session, "event-restored", {"made_at": made_at}, now=now)


def the_event(session: Session) -> Event:
    """Return the event's row.

    Raises:
        NoEvent: There is none.
    """
    event = session.scalars(select(Event)).first()
    if event is None:
        raise NoEvent
    return event


def close(session: Session, event: Event, at: float, *, now: float) -> None:
    """Close submissions as of the time `at`, in the caller's transaction.

    Args:
        session: a writing transaction.
        event: its event.
        at: when they closed, seconds since the epoch.
        now: when this is recorded.
    """
    move(event, Action.CLOSE_SUBMISSIONS, "closed")
    event.closed_at, event.grace_ends_at = at, at + event.grace_seconds
    append(session, "submissions-closed", {"at": at, "grace_ends_at": event.grace_ends_at}, now=now)


def require(event: Event, action: Action, *, now: float | None = None) -> None:
    """Refuse an action that the event's state does not allow.

    Args:
        event: the event.
        action: what is asked for.
        now: seconds since the epoch, where submissions count as closed once their closing time has come.

    Raises:
        WrongState: The state does not allow it.
    """
    state = event.state if now is None else state_at(event, now)
    if not allows(state, action):
        raise WrongState(action.value, state, " or ".join(allowed_states(action)))


def move(event: Event, action: Action, state: EventState) -> None:
    """Set the state that an action leads to.

    Args:
        event: the event.
        action: what is done.
        state: the next state.

    Raises:
        ValueError: The table of transitions does not have it.
    """
    check_transition(action, event.state, state)
    event.state = state


def rules_of(event: Event) -> EventRules:
    """Return the rules in the event's row."""
    return EventRules(**{field.name: getattr(event, field.name) for field in fields(EventRules)})


def view_of(event: Event) -> EventView:
    """Return what everybody may know of the event."""
    return EventView(
        name=event.name,
        state=event.state,
        rules=rules_of(event),
        closes_at=event.closes_at,
        closed_at=event.closed_at,
        grace_ends_at=event.grace_ends_at,
        draw_word=event.draw_word or None,
        nonce=None if event.state == "draft" else nonce(event.salt),
        admission=event.admission,
        race=event.race,
    )


def check_rules(rules: EventRules) -> None:
    """Check the rules of an event.

    Raises:
        BadSetting: A number is out of bounds.
    """
    bounds = {
        "lines": (1, 64),
        "characters": (1, 10_000),
        "grace_seconds": (0, 7 * 86_400),
        "max_open": (1, 1_000),
        "max_claims": (1, 10_000),
        "max_entries": (1, MAX_PLACES),
        "check_seconds": (1, 86_400),
        "check_memory": (MIN_MEMORY, 2**40),
        "prompt_characters": (1, 65_536),
        "reading_seconds": (0, 3_600),
        "match_seconds": (0, 86_400),
        "revote_seconds": (0, 86_400),
    }
    for name, (low, high) in bounds.items():
        value = getattr(rules, name)
        if not low <= value <= high:
            raise BadSetting(f"{name} must be {low:,} to {high:,}, not {value:,}", setting=name)


def clean_name(name: object, limit: int, what: str) -> str:
    """Clean and check a display name.

    Args:
        name: untrusted.
        limit: characters, at most.
        what: names it in the error message.

    Returns:
        One line of 1 to `limit` characters that can be seen.

    Raises:
        BadName: It is no such line.
    """
    try:
        return clean_line(name if isinstance(name, str) else "", limit)
    except LineError as error:
        raise BadName(
            phrase("%(what)s must have 1 to %(limit)s characters, %(fault)s", what=what, limit=limit, fault=str(error))
        ) from None


def _check_future(closes_at: float | None, now: float) -> None:
    if closes_at is not None and not (math.isfinite(closes_at) and closes_at > now):
        raise BadSetting("the closing time must be in the future", setting="closes_at")
