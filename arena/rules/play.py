"""What happens to the row of a match: its vote is opened, counted and undone, and the bracket is resolved.

Services apply these functions to the rows of the database, an audit to those that it rebuilds from the log.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol, cast

from arena.rules.bracket import DecidedByVoters, Decision, build_bracket, resolve_bracket
from arena.rules.results import decide
from arena.rules.tally import Tally


class MatchRow(Protocol):
    """A match, as the database holds it; see `store.schema.Match`."""

    id: str
    kind: str
    state: str
    upper_id: str | None
    lower_id: str | None
    winner_id: str | None
    decided_by: str | None
    poll: int
    poll_round: int
    opened_at: float | None
    votes_from: float | None
    closes_at: float | None
    paused_at: float | None
    closed_at: float | None
    decided_poll: int | None
    decided_upper_id: str | None
    decided_lower_id: str | None
    decided_winner_id: str | None
    decision: str | None
    tallies: list[list[int]] | None


def open_poll(row: MatchRow, *, at: float, votes_from: float, closes_at: float | None) -> None:
    """Open the vote on a pending match. Votes of an earlier poll stay, and do not count.

    Args:
        row: the match.
        at: when, seconds since the epoch.
        votes_from: when its vote begins.
        closes_at: when it closes; None: by hand.
    """
    if row.opened_at is not None:
        row.poll += 1
    row.state, row.poll_round, row.opened_at, row.paused_at = "open", 0, at, None
    row.votes_from, row.closes_at = votes_from, closes_at


def count_round(row: MatchRow, tally: Tally, *, draw_digest: str, revote_seconds: float, at: float) -> Decision | None:
    """Count the open round of a match: decide the match, or open the second vote.

    Args:
        row: the match, with two sides.
        tally: of the round.
        draw_digest: decides a second tie.
        revote_seconds: of the second vote; 0: until it is closed by hand.
        at: when, seconds since the epoch.

    Returns:
        The decision, after which `settle_rows` must follow; None: the second vote is open.

    Raises:
        ValueError: The match has no two sides.
    """
    if row.upper_id is None or row.lower_id is None:
        raise ValueError(f"{row.id} has no two sides")
    row.tallies = [*(row.tallies or [])[: row.poll_round], [tally.upper, tally.lower]]
    decision = decide(draw_digest, row.id, row.upper_id, row.lower_id, [Tally(*pair) for pair in row.tallies])
    if decision is None:
        row.poll_round, row.paused_at = row.poll_round + 1, None
        row.closes_at = at + revote_seconds if revote_seconds else None
        return None
    row.decided_poll, row.decided_upper_id, row.decided_lower_id = row.poll, decision.upper, decision.lower
    row.decided_winner_id, row.decision = decision.winner, decision.by
    return decision


def undo_poll(row: MatchRow) -> None:
    """Undo the vote on a match, open or decided; `settle_rows` must follow."""
    row.state, row.winner_id, row.decided_by, row.closes_at, row.closed_at = "pending", *[None] * 4
    row.decided_poll = row.decided_upper_id = row.decided_lower_id = row.decided_winner_id = None
    row.decision = row.tallies = None


def settle_rows(rows: Mapping[str, MatchRow], seeds: Sequence[str], out: Iterable[str], *, at: float) -> list[str]:
    """Write what follows from the decisions so far: each match's sides and winner.

    Args:
        rows: every match, by id.
        seeds: entry ids, seed 1 first.
        out: ids of disqualified entries.
        at: when, seconds since the epoch.

    Returns:
        Ids of the matches that were closed, or whose result changed.
    """
    decisions = {
        row.id: Decision(
            row.decided_upper_id, row.decided_lower_id, row.decided_winner_id, cast(DecidedByVoters, row.decision)
        )
        for row in rows.values()
        if row.decided_upper_id and row.decided_lower_id and row.decided_winner_id
    }
    changed = []
    for match_id, standing in resolve_bracket(build_bracket(len(seeds)), seeds, decisions, out).items():
        row = rows[match_id]
        upper, lower, winner = standing.upper or None, standing.lower or None, standing.winner or None
        before = (row.state, row.upper_id, row.lower_id, row.winner_id, row.decided_by)
        moved = (upper, lower) != (row.upper_id, row.lower_id)
        row.upper_id, row.lower_id = upper, lower
        if standing.closed:
            if (row.state, row.winner_id) != ("closed", winner):
                row.closed_at = at
            row.state, row.winner_id, row.decided_by, row.closes_at = "closed", winner, standing.decided_by, None
        elif row.state == "closed" or moved:
            row.state, row.winner_id, row.decided_by, row.closes_at, row.closed_at = "pending", *[None] * 4
        after = (row.state, row.upper_id, row.lower_id, row.winner_id, row.decided_by)
        if before != after and (row.state == "closed" or before[0] != "pending"):
            changed.append(row.id)
    return changed


def is_final_closed(rows: Mapping[str, MatchRow]) -> bool:
    """Whether the final is decided, so that the event has a champion or ends without one."""
    return any(row.kind == "final" and row.state == "closed" for row in rows.values())
