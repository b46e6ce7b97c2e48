"""The ranking of everybody whose author is public, with what is public of their models."""

from __future__ import annotations

from collections import Counter

from sqlalchemy import select

from arena.rules.places import Played, rank
from arena.services.bracket_view import BracketView
from arena.services.events import view_of
from arena.services.log import head
from arena.services.schemas import RankedEntry, Ranking
from arena.store.schema import Entry
from arena.store.unit_of_work import Database


def read_ranking(db: Database, *, now: float) -> Ranking:
    """Read the bracket, and the place of each entry that has played its last match, or that the heats ended.

    A place that depends on matches still to come is left out: places are told when the champion is known. Where there
    was no bracket, a verified entry has none.
    """
    with db.reading() as session:
        view = BracketView.load(session, now)
        number, digest = head(session)
        rows = session.scalars(select(Entry).where(Entry.seed.is_not(None)).order_by(Entry.seed)).all()
        out = {row.id for row in rows if row.state == "disqualified"}
        played = [
            Played(
                match.kind,
                match.round,
                match.winner,
                next((side.entry for side in (match.upper, match.lower) if side and side.entry != match.winner), None),
            )
            for match in view.matches
            if match.state == "closed"
        ]
        final = view.event.state in ("champion", "published")
        places = {place.entry: place for place in rank([row.id for row in rows], played, out)} if final else {}
        votes: Counter[str] = Counter()
        for match in view.matches:
            for tally in match.tallies or []:
                for side, count in zip((match.upper, match.lower), tally, strict=True):
                    if side is not None:
                        votes[side.entry] += count
        shown = [row for row in rows if row.id in view.names and row.id in places and places[row.id].first]

        def ranked(row: Entry, first: int, last: int) -> RankedEntry:
            return RankedEntry(
                entry=row.id,
                seed=row.seed or 0,
                name=view.names[row.id],
                first=first,
                last=last,
                text=row.text,
                prompt=row.prompt,
                votes=votes[row.id],
                bundle=row.bundle or "",
                facts=row.facts or {},
            )

        entries = [ranked(row, places[row.id].first or 0, places[row.id].last or 0) for row in shown]
        unplayed = [entry.id for entry in view.entries.values() if entry.seed is None and entry.id in view.names]
        for row in session.scalars(select(Entry).where(Entry.id.in_(unplayed))):
            place = max(row.heat_place, len(rows) + 1) if row.heat_place else 0  # after all who played
            entries.append(ranked(row, place, place))
        return Ranking(
            event=view_of(view.event),
            rounds=view.rounds(),
            matches=view.matches,
            entries=sorted(entries, key=lambda entry: (entry.first, entry.seed, entry.entry)),
            disqualified=len(out),
            log_number=number,
            log_hash=digest,
        )
