"""The bracket as it is shown: matches, sides and places, without what is still secret.

A verse is public from the opening of its first match. Its author and everything else are public from the closing of its
last match.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import ColumnElement, case, false, func, or_, select
from sqlalchemy.orm import Session

from arena.rules.bracket import VOTED, Standing, round_title, title_of
from arena.rules.lifecycle import has_champion
from arena.rules.names import skeleton
from arena.rules.results import Podium, podium_of
from arena.services.events import the_event
from arena.services.schemas import (
    MatchView,
    RoundView,
    Side,
)
from arena.store.schema import (
    TAKING_PART,
    Entry,
    Event,
    Match,
    Vote,
)

_PUBLIC_NAME = case((Entry.masked, "name withheld"), else_=Entry.name).label("name")


@dataclass(frozen=True)
class BracketView:
    """The bracket with what is public now."""

    event: Event
    entries: Mapping[str, Any]  # by id: those in the bracket, and all of the heats once there is a champion
    matches: list[MatchView]  # in the order of play
    names: Mapping[str, str]  # public ones: of entries whose last match is closed, but for the disqualified
    podium: Podium

    @classmethod
    def load(cls, session: Session, now: float) -> BracketView:
        """Read the matches and the entries in them, at the time `now`."""
        event = the_event(session)
        rows = session.scalars(select(Match).order_by(Match.position)).all()
        entries = {
            entry.id: entry
            for entry in session.execute(
                select(
                    *(Entry.id, Entry.seed, Entry.heat_place, _PUBLIC_NAME, Entry.text, Entry.prompt, Entry.state)
                ).where(or_(Entry.seed.is_not(None), _ended_without_a_match(event)))
            )
        }
        playing = {side for row in rows if row.state != "closed" for side in (row.upper_id, row.lower_id)}
        seen = {side for row in rows if row.opened_at is not None for side in (row.upper_id, row.lower_id)}
        votes = _open_votes(session)
        done = frozenset(e.id for e in entries.values() if e.id not in playing and e.state != "disqualified")
        total = max((row.round for row in rows), default=0)
        names = _tell_apart([entries[entry_id] for entry_id in done])

        def side(row: Match, entry_id: str | None) -> Side | None:
            if entry_id is None:
                return None
            entry = entries[entry_id]
            mark: Literal["won", "lost", "out", ""] = ""
            if row.state == "closed":
                mark = "won" if row.winner_id == entry_id else "lost"
            if entry.state == "disqualified" and mark != "won":
                mark = "out"
            is_public = entry_id in seen or entry_id in done
            return Side(
                entry=entry_id,
                seed=entry.seed,
                text=entry.text if is_public else None,
                prompt=entry.prompt if is_public else "",
                name=names.get(entry_id),
                mark=mark,
            )

        def view(row: Match) -> MatchView:
            closed = row.state == "closed"
            return MatchView(
                id=row.id,
                title=title_of(row.id, row.round, row.number, total),
                round=row.round,
                kind=row.kind,
                state=row.state,
                upper=side(row, row.upper_id),
                lower=side(row, row.lower_id),
                ready=row.state == "pending" and bool(row.upper_id and row.lower_id),
                poll_round=row.poll_round,
                opened_at=row.opened_at,
                opens_at=row.votes_from
                if row.state == "open" and (row.votes_from or 0.0) > (row.paused_at or now)
                else None,
                closes_at=row.closes_at if row.state == "open" else None,
                paused=row.state == "open" and row.paused_at is not None,
                closed_at=row.closed_at if closed else None,
                votes=votes.get(row.id, 0) if row.state == "open" else None,
                tallies=row.tallies if closed and row.decided_by in VOTED else None,
                decided_by=row.decided_by if closed else None,
                winner=row.winner_id if closed else None,
            )

        disqualified = {entry.id for entry in entries.values() if entry.state == "disqualified"}
        seeds = sum(entry.seed is not None for entry in entries.values())
        # Of three, one loses a semi-final: that is the third place, and its match has no opponent.
        shown = [view(row) for row in rows if row.kind != "third" or seeds != 3]
        return cls(event, entries, shown, names, _podium(rows, disqualified))

    def is_done(self, entry_id: str) -> bool:
        """Whether everything about this entry is public."""
        return entry_id in self.names

    def find(self, match_id: str) -> MatchView:
        """Return the match with this id, which must exist."""
        return next(match for match in self.matches if match.id == match_id)

    @property
    def open(self) -> MatchView | None:
        """The open match: of several, the one with a second vote, else the first."""
        return min(self.opened, key=lambda match: -match.poll_round, default=None)

    @property
    def opened(self) -> list[MatchView]:
        """All open matches."""
        return [match for match in self.matches if match.state == "open"]

    @property
    def ready_together(self) -> int:
        """The number of matches that `rounds.open_round` would open."""
        ready = [match for match in self.matches if match.ready]
        return sum((match.round, match.kind) == (ready[0].round, ready[0].kind) for match in ready)

    @property
    def next(self) -> MatchView | None:
        """The first match that can be opened."""
        return next((match for match in self.matches if match.ready), None)

    @property
    def voted(self) -> list[MatchView]:
        """The matches that votes decided."""
        return [match for match in self.matches if match.state == "closed" and match.decided_by in VOTED]

    @property
    def champion(self) -> Side | None:
        """The champion."""
        return self._last_side(self.podium.champion)

    @property
    def second(self) -> Side | None:
        """The loser of the final, unless disqualified."""
        return self._last_side(self.podium.second)

    @property
    def third(self) -> Side | None:
        """The winner of the match for the third place."""
        return self._last_side(self.podium.third)

    def rounds(self) -> list[RoundView]:
        """Return the bracket, round by round."""
        total = max((match.round for match in self.matches), default=0)
        return [
            RoundView(number, round_title(number, total), [match for match in self.matches if match.round == number])
            for number in range(1, total + 1)
        ]

    def _last_side(self, entry_id: str | None) -> Side | None:
        """Return the side of an entry in its last match."""
        sides = (side for match in reversed(self.matches) for side in (match.upper, match.lower))
        return next((side for side in sides if side and side.entry == entry_id), None)


def _open_votes(session: Session) -> dict[str, int]:
    """Count the votes of all open matches, by match id."""
    of_round = (Match.id == Vote.match_id) & (Match.poll == Vote.poll) & (Match.poll_round == Vote.poll_round)
    query = select(Vote.match_id, func.count()).join(Match, of_round).where(Match.state == "open")
    return dict(session.execute(query.group_by(Vote.match_id)).all())


def count_votes(session: Session, match_id: str, poll: int, poll_round: int) -> int:
    """Count the votes in one round of a poll."""
    query = select(func.count()).select_from(Vote)
    return session.scalar(query.where(Vote.match_id == match_id, Vote.poll == poll, Vote.poll_round == poll_round)) or 0


def read_podium(session: Session) -> Podium:
    """Read the first three places."""
    disqualified = session.scalars(select(Entry.id).where(Entry.seed.is_not(None), Entry.state == "disqualified"))
    return _podium(session.scalars(select(Match).where(Match.kind.in_(("final", "third")))), set(disqualified))


def _podium(matches: Iterable[Match], disqualified: Collection[str]) -> Podium:
    """Find the first three places in the rows of matches; others than the last two make no difference."""
    last = {row.kind: Standing(row.upper_id, row.lower_id, row.winner_id, _loser(row)) for row in matches}
    return podium_of(last.get("final"), last.get("third"), disqualified)


def _loser(row: Match) -> str | None:
    return row.lower_id if row.upper_id == row.winner_id else row.upper_id


def _tell_apart(entries: Sequence[Any]) -> dict[str, str]:
    """Return names by entry id; those that look the same get the number in the draw, or the place in the heats."""
    looks = Counter(skeleton(entry.name) for entry in entries)

    def apart(entry: Any) -> str:
        if entry.seed:
            return f"no. {entry.seed}"
        return f"place {entry.heat_place}" if entry.heat_place else entry.id[:4]

    return {
        entry.id: entry.name if looks[skeleton(entry.name)] == 1 else f"{entry.name} ({apart(entry)})"
        for entry in entries
    }


def _ended_without_a_match(event: Event) -> ColumnElement[bool]:
    """Select the entries that took part in no match, once the event is decided: until then all of them are secret."""
    if not has_champion(event.state):
        return false()
    if event.drawn_at is None:  # published with too few verses for a bracket
        return TAKING_PART
    return Entry.heat_place.is_not(None) & TAKING_PART
