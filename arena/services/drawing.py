"""The draw: it makes the bracket of the verified verses, by lot, by the heats or by hand, and is taken back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from sqlalchemy import delete, func, select, update

from arena.errors import (
    BadSeeding,
    EntriesPending,
    HeatsOpen,
    NotRanked,
    TooFewEntries,
    TooManyEntries,
    VotesCast,
    WordMissing,
    WordTaken,
)
from arena.rules.bracket import MAX_PLACES, MIN_ENTRIES, build_bracket
from arena.rules.draw import draw_digest, draw_seeds
from arena.rules.lifecycle import UNDECIDED, Action, is_grace_over
from arena.services.bracket import settle
from arena.services.entries import expire
from arena.services.events import STATE_CHANGES, clean_name, move, require, the_event, view_of
from arena.services.log import append, require_unchanged
from arena.services.schemas import EventView
from arena.store.schema import TAKING_PART, Entry, Match, Vote
from arena.store.unit_of_work import Database
from trainer.verse.text import pluralize

Seeding = Literal["lot", "heats"] | Sequence[str]  # of the bracket; entry ids: by hand, seed 1 first
MAX_WORD = 80  # characters of a draw word


def draw_bracket(
    db: Database,
    *,
    word: str | None = None,
    without_missing: bool = False,
    seeding: Seeding = "lot",
    places: int | None = None,
    seen: int | None = None,
    now: float,
) -> EventView:
    """Draw the seeds of the verified entries, and create every match.

    Args:
        db: the event's database.
        word: given by the room after submissions were closed; None: the one that was given before. It stays the same
            until submissions open again, so that nobody can draw until the order pleases.
        without_missing: leave out entries that have no verdict yet.
        seeding: "lot"; "heats", where the strongest verse is seed 1 and the lot orders equal ones; or the ids of all
            verified entries, seed 1 first.
        places: how many of the heats go on; None: all. The others keep their place in the heats.
        seen: number of the log's latest record that the caller was shown; None: not checked.
        now: seconds since the epoch.

    Raises:
        AlreadyDone: The event has changed since the caller was shown it.
        EntriesPending: Entries have no verdict yet.
        BadName: The word is not one line of 1 to 80 characters.
        BadSeeding: The ids are not those of all verified entries, or a number of places was given without heats.
        HeatsOpen: The heats are open.
        NotRanked: An entry has no place in the heats.
        TooFewEntries: Fewer than two entries are verified.
        TooManyEntries: A bracket has fewer places.
        WordMissing: No word was given.
        WordTaken: Another word was given before.
        WrongState: Submissions are not closed, or the bracket is drawn.
    """
    word = clean_name(word, MAX_WORD, "a draw word") if word else ""
    with db.writing() as session:
        event = the_event(session)
        require_unchanged(session, seen, STATE_CHANGES)
        require(event, Action.DRAW_BRACKET)
        if word and event.draw_word and word != event.draw_word:
            raise WordTaken(event.draw_word)
        pending = session.scalars(select(Entry).where(Entry.state.in_(UNDECIDED))).all()
        if pending and not without_missing:
            late = is_grace_over(event, now)
            waited_for = [entry for entry in pending if not (late and entry.state == "receiving")]
            if waited_for:
                raise EntriesPending(len(waited_for))
        if event.heats == "open":
            raise HeatsOpen
        verified = session.scalars(select(Entry).where(TAKING_PART)).all()
        if len(verified) < MIN_ENTRIES:
            raise TooFewEntries(len(verified))
        playing = _check_seeding(verified, seeding, places)
        if playing > MAX_PLACES:
            raise TooManyEntries(playing, MAX_PLACES)
        event.draw_word = event.draw_word or word
        if not event.draw_word:
            raise WordMissing
        for entry in pending:
            if entry.state != "receiving":
                entry.reason = "the bracket was drawn before it could be checked: ask the organizer"
        expire(session, pending, now=now)
        ids = [entry.id for entry in verified]
        event.draw_digest = draw_digest(event.draw_salt, event.draw_word, ids)
        order = _order(event.draw_digest, verified, seeding)
        seeds, others = order[:playing], order[playing:]
        event.drawn_at = now
        event.seeding = seeding if isinstance(seeding, str) else "hand"
        move(event, Action.DRAW_BRACKET, "drawn")
        data: dict[str, Any] = {"draw_salt": event.draw_salt, "draw_word": event.draw_word, "entries": seeds}
        if event.seeding != "lot":  # the digest of the draw is about all of them
            data |= {"seeding": event.seeding, "others": others}
        append(session, "bracket-drawn", data, now=now)
        for entry in verified:
            entry.seed = seeds.index(entry.id) + 1 if entry.id in seeds else None
        session.flush()
        for position, match in enumerate(build_bracket(len(seeds)), start=1):
            place = {"position": position, "round": match.round, "slot": match.slot, "number": match.number}
            session.add(Match(id=match.id, state="pending", kind=match.kind, **place))
        session.flush()
        settle(session, event, Action.DRAW_BRACKET, now)
        return view_of(event)


def _check_seeding(verified: Sequence[Entry], seeding: Seeding, places: int | None) -> int:
    """Check how the seeds are to be found, and return how many entries play.

    Args:
        verified: all of them.
        seeding: as in `draw_bracket`.
        places: as in `draw_bracket`.

    Raises:
        BadSeeding: As in `draw_bracket`.
        NotRanked: As in `draw_bracket`.
    """
    if places is not None and seeding != "heats":
        raise BadSeeding("only the heats decide who goes on: without them every verified verse plays")
    if places is not None and not MIN_ENTRIES <= places <= MAX_PLACES:
        raise BadSeeding(f"a bracket has {MIN_ENTRIES} to {MAX_PLACES:,} places, not {places:,}")
    if seeding == "heats" and (missing := sum(entry.heat_place is None for entry in verified)):
        raise NotRanked(missing)
    if not isinstance(seeding, str):
        known = {entry.id for entry in verified}
        if len(set(seeding)) < len(seeding):
            raise BadSeeding("the seeds by hand name a verse twice: name each once")
        if missing := len(known - set(seeding)):
            verses = pluralize(missing, "verified verse")
            raise BadSeeding(f"the seeds by hand leave out {verses}: name them all", missing=missing)
        if set(seeding) != known:
            raise BadSeeding("the seeds by hand name a verse that is not verified: leave it out")
    return min(len(verified), places or len(verified))


def _order(digest: str, verified: Sequence[Entry], seeding: Seeding) -> list[str]:
    """Return entry ids in the order of their seeds.

    Args:
        digest: of the draw.
        verified: all entries.
        seeding: as in `draw_bracket`.
    """
    if not isinstance(seeding, str):
        return list(seeding)
    by_lot = draw_seeds(digest, [entry.id for entry in verified])
    if seeding == "lot":
        return by_lot
    place = {entry.id: entry.heat_place or 0 for entry in verified}
    return sorted(by_lot, key=lambda entry: place[entry])  # stable: the lot orders equal ones


def undo_draw(db: Database, *, seen: int | None = None, now: float) -> EventView:
    """Take the draw back, before the first vote. Submissions can then be opened again, or the same word drawn again.

    Args:
        db: the event's database.
        seen: number of the log's latest record that the caller was shown; None: not checked.
        now: seconds since the epoch.

    Raises:
        AlreadyDone: The event has changed since the caller was shown it.
        VotesCast: Somebody has voted.
        WrongState: The bracket is not drawn, or the event is over.
    """
    with db.writing() as session:
        event = the_event(session)
        require_unchanged(session, seen, STATE_CHANGES)
        require(event, Action.UNDO_DRAW)
        if votes := session.scalar(select(func.count()).select_from(Vote)):
            raise VotesCast(votes)
        session.execute(delete(Match))
        session.execute(update(Entry).values(seed=None))
        event.drawn_at, event.draw_digest, event.seeding = None, "", "lot"
        move(event, Action.UNDO_DRAW, "closed")
        append(session, "draw-undone", {}, now=now)
        return view_of(event)
