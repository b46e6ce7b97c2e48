"""A whole evening with everything that an audit must follow, up to its publication."""

from __future__ import annotations

from pathlib import Path

from arena.services.bracket import close_match, open_match, undo_match
from arena.services.claims import take_claim
from arena.services.disqualification import disqualify
from arena.services.events import create_event, open_submissions
from arena.services.publishing import publish
from arena.services.queries import get_next_match
from arena.services.receipts import public_key_of
from arena.services.schemas import EventRules
from arena.store.schema import Entry, Match
from tests.support.bundles import forged_verse, header_of, verse
from tests.support.evening import SALT, Evening, secret_of


def play_evening(folder: Path) -> Evening:
    """A new name, a replaced, a refused and a disqualified verse, a tie, a match played again, and a champion."""
    evening = Evening(folder)
    key = public_key_of(evening.key)
    create_event(
        evening.db, name=evening.settings.name, rules=EventRules(), salt="salt", receipt_key=key, now=evening.now
    )
    open_submissions(evening.db, draw_salt=SALT, now=evening.now)
    authors = [evening.author(f"Poet {number}", number) for number in range(5)]
    evening.author("Poet 4", 5)  # replaces a verse
    evening.enter("Forger", forged_verse(1))
    header, secret = header_of(verse(0)), secret_of("Poet 0")
    take_claim(evening.db, evening.bundles, evening.spool, header, secret, "Ada", key=evening.key, now=evening.now)
    evening.verify_all()
    evening.close_and_draw()
    disqualify(evening.db, authors[3].entry, "not written here", now=evening.now)
    first = next_match(evening)
    assert first is not None
    open_match(evening.db, first, now=evening.now)
    evening.vote("early", first, upper_text(evening, first))
    undo_match(evening.db, first, now=evening.now)
    evening.now += 60
    open_match(evening.db, first, now=evening.now)
    evening.tie(first)
    close_match(evening.db, first, poll_round=0, now=evening.now)
    evening.tie(first)
    close_match(evening.db, first, poll_round=1, now=evening.now)
    while (match := next_match(evening)) is not None:
        evening.decide(match, upper_text(evening, match), voters=5)
    publish(evening.db, now=evening.now)
    return evening


def next_match(evening: Evening) -> str | None:
    """The id of the first match that can be opened."""
    match = get_next_match(evening.db, now=evening.now)
    return match.id if match else None


def upper_text(evening: Evening, match_id: str) -> str:
    """The verse of a match's upper side."""
    with evening.db.reading() as session:
        entry = session.get(Entry, session.get_one(Match, match_id).upper_id)
        assert entry is not None
        return entry.text
