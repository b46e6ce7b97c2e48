"""How a poll is decided from its tallies, and who has the first three places."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from arena.rules.bracket import Decision, Standing
from arena.rules.draw import draw_tie
from arena.rules.tally import Tally, outcome


@dataclass(frozen=True)
class Podium:
    """Entry ids of the first three places; None: not known, or nobody."""

    champion: str | None = None
    second: str | None = None
    third: str | None = None


def decide(draw_digest: str, match: str, upper: str, lower: str, tallies: Sequence[Tally]) -> Decision | None:
    """Decide a poll from the tallies of its closed rounds.

    Args:
        draw_digest: of the draw; decides the last tie.
        match: id of the match.
        upper: entry id of the upper side.
        lower: entry id of the lower side.
        tallies: the tally of each closed round, in order.

    Returns:
        The decision; None while another round must follow.
    """
    for poll_round, tally in enumerate(tallies):
        match outcome(tally, poll_round):
            case "draw":
                return Decision(upper, lower, draw_tie(draw_digest, match, upper, lower), "draw")
            case ("upper" | "lower") as side:
                winner = upper if side == "upper" else lower
                return Decision(upper, lower, winner, "revote" if poll_round else "votes")
            case "revote":
                pass
    return None


def podium_of(final: Standing | None, third: Standing | None, disqualified: Collection[str] = ()) -> Podium:
    """Find the first three places: the one definition of the champion.

    Args:
        final: its standing; None if there is no bracket.
        third: that of the match for the third place; None if there is none.
        disqualified: entry ids; who was disqualified is not second.
    """
    champion = final.winner if final else None
    second = final.loser if final and champion and final.loser not in disqualified else None
    return Podium(champion or None, second or None, (third.winner if third else None) or None)
