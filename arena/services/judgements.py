"""The judgements of the heats as the database holds them: their number, their digest, and the ranking they give."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from arena.rules.chain import judgements_digest
from arena.rules.heats import PLACES, Pair
from arena.rules.ranking import Ranking, rank
from arena.store.schema import TAKING_PART, Entry, Judgement

JUDGED: ColumnElement[bool] = Judgement.choice.is_not(None)


def read_ranking(session: Session, entries: Sequence[str] | None = None) -> Ranking:
    """Rank verses by all judgements.

    Args:
        session: any transaction.
        entries: their ids; None: all verified ones.
    """
    if entries is None:
        entries = session.scalars(select(Entry.id).where(TAKING_PART)).all()
    group = (Judgement.upper_id, Judgement.lower_id, Judgement.choice)
    judgements: dict[Pair, int] = {}
    for upper, lower, choice, count in session.execute(select(*group, func.count()).where(JUDGED).group_by(*group)):
        judgements[(upper, lower) if choice == "upper" else (lower, upper)] = count
    return rank(entries, judgements, PLACES)


def digest_of_judgements(session: Session, salt: str) -> str:
    """Compute a salted digest of all judgements, by which nobody can change one later.

    Args:
        session: any transaction.
        salt: of the log.
    """
    return judgements_digest(salt, read_judgements(session))


def read_judgements(session: Session) -> list[tuple[str, str, str, str]]:
    """Read all judgements: voter id, both entries, and choice."""
    columns = (Judgement.voter_id, Judgement.upper_id, Judgement.lower_id, Judgement.choice)
    rows = session.execute(select(*columns).where(JUDGED).order_by(*columns[:3]))
    return [(voter, upper, lower, choice or "") for voter, upper, lower, choice in rows]


def judged_count(session: Session, voter_id: str | None = None) -> int:
    """Count the judgements, of all voters or of one."""
    of_voter = () if voter_id is None else (Judgement.voter_id == voter_id,)
    return session.scalar(select(func.count()).select_from(Judgement).where(JUDGED, *of_voter)) or 0
