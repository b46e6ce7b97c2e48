"""What the organizer changes about one entry: the name that is shown, and whether it takes part in the draw."""

from __future__ import annotations

from sqlalchemy.orm import Session

from arena.errors import EntryNotFound, WrongState
from arena.rules.lifecycle import LIVE, Action
from arena.services.claims import MAX_AUTHOR
from arena.services.digests import digest_of_name
from arena.services.events import clean_name, require, the_event
from arena.services.log import append, require_unchanged
from arena.store.schema import Entry, Event
from arena.store.unit_of_work import Database

NAME_CHANGES = {  # kinds of log records that change a name, in words
    "entry-renamed": "another name was given",
    "entry-name-set": "another name was given",
    "entry-masked": "the name was masked",
    "entry-unmasked": "the name was shown again",
}
HOLDS = {"entry-held": "this verse was held back", "entry-released": "this verse was released"}


def set_name(db: Database, entry_id: str, name: str, *, seen: int | None = None, now: float) -> None:
    """Give an entry another name, on every page from now on. Its author cannot change it back.

    Args:
        db: the event's database.
        entry_id: the entry.
        name: one line.
        seen: number of the log's latest record that the caller was shown; None: not checked.
        now: seconds since the epoch.

    Raises:
        AlreadyDone: The name has changed since the caller was shown it.
        BadName: It is not one line of 1 to 40 characters.
        EntryNotFound: There is no such entry.
    """
    name = clean_name(name, MAX_AUTHOR, "an author's name")
    with db.writing() as session:
        require_unchanged(session, seen, NAME_CHANGES, entry=entry_id)
        event, entry = _entry(session, entry_id, Action.EDIT_NAME)
        if entry.name == name and entry.name_set:
            return
        entry.name, entry.name_set = name, True
        event.edits += 1
        append(session, "entry-name-set", {"entry": entry_id, "name": digest_of_name(session, entry)}, now=now)


def set_masked(db: Database, entry_id: str, masked: bool, *, seen: int | None = None, now: float) -> None:
    """Mask the name of an entry on every page, or show it again. The name itself is kept.

    Args:
        db: the event's database.
        entry_id: the entry.
        masked: whether pages say "name withheld" instead.
        seen: number of the log's latest record that the caller was shown; None: not checked.
        now: seconds since the epoch.

    Raises:
        AlreadyDone: The name has changed since the caller was shown it.
        EntryNotFound: There is no such entry.
    """
    with db.writing() as session:
        require_unchanged(session, seen, NAME_CHANGES, entry=entry_id)
        event, entry = _entry(session, entry_id, Action.EDIT_NAME)
        if entry.masked == masked:
            return
        entry.masked = masked
        event.edits += 1
        append(session, "entry-masked" if masked else "entry-unmasked", {"entry": entry_id}, now=now)


def set_held(db: Database, entry_id: str, held: bool, *, seen: int | None = None, now: float) -> None:
    """Hold an entry back from the draw, or release it. It is received and verified all the same.

    Args:
        db: the event's database.
        entry_id: the entry.
        held: whether the draw leaves it out.
        seen: number of the log's latest record that the caller was shown; None: not checked.
        now: seconds since the epoch.

    Raises:
        AlreadyDone: It has changed since the caller was shown it.
        EntryNotFound: There is no such entry.
        WrongState: The bracket is drawn, or the entry does not take part.
    """
    with db.writing() as session:
        require_unchanged(session, seen, HOLDS, entry=entry_id)
        event, entry = _entry(session, entry_id, Action.HOLD_BACK)
        if entry.held == held:
            return
        if entry.state not in LIVE:
            raise WrongState("holding this verse back", event.state, "one that it is still in")
        entry.held = held
        append(session, "entry-held" if held else "entry-released", {"entry": entry_id}, now=now)


def _entry(session: Session, entry_id: str, action: Action) -> tuple[Event, Entry]:
    event = the_event(session)
    require(event, action)
    entry = session.get(Entry, entry_id)
    if entry is None:
        raise EntryNotFound
    return event, entry
