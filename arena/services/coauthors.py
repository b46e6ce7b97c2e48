"""Further authors of an entry: whoever has their tickets may name them, and none of them votes on it."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from arena.errors import QuotaReached
from arena.rules.chain import coauthors_digest, log_salt
from arena.rules.lifecycle import Action
from arena.services.digests import secret_of_event
from arena.services.events import require, the_event
from arena.services.identity import Identity, identify
from arena.services.log import append
from arena.store.schema import CoAuthor

MAX_COAUTHORS = 8  # of one entry


def find_coauthors(session: Session, owner: Identity, secrets: Sequence[str]) -> set[str]:
    """Return the ids of further authors.

    Args:
        session: any transaction.
        owner: who enters the verse, and is not one of them.
        secrets: theirs, of which each is the consent of its holder.

    Raises:
        BadSecret: One has the wrong form.
        QuotaReached: They are too many.
        TicketNeeded, TicketUnknown, TicketVoid, TicketSpare: The event takes tickets, and one is no valid one.
    """
    if len(secrets) > MAX_COAUTHORS:
        raise QuotaReached(f"a verse has at most {MAX_COAUTHORS} further authors", limit=MAX_COAUTHORS)
    others = [identify(session, secret) for secret in secrets]
    for other in others:
        other.require_entry()
    return {other.owner_id for other in others} - {owner.owner_id}


def add_coauthors(session: Session, entry_id: str, owners: Collection[str], *, now: float) -> None:
    """Add authors to an entry that are not there yet.

    Args:
        session: a writing transaction.
        entry_id: the entry.
        owners: ids of its further authors.
        now: seconds since the epoch.

    Raises:
        WrongState: The bracket is drawn.
        QuotaReached: It would have too many.
    """
    there = set(session.scalars(select(CoAuthor.owner_id).where(CoAuthor.entry_id == entry_id)))
    missing = sorted(set(owners) - there)
    if not missing:
        return
    require(the_event(session), Action.ADD_COAUTHOR)
    if len(there) + len(missing) > MAX_COAUTHORS:
        raise QuotaReached(f"a verse has at most {MAX_COAUTHORS} further authors", limit=MAX_COAUTHORS)
    session.flush()
    session.add_all(CoAuthor(entry_id=entry_id, owner_id=owner) for owner in missing)
    digest = coauthors_digest(log_salt(secret_of_event(session)), entry_id, there.union(missing))
    append(session, "coauthors-added", {"entry": entry_id, "count": len(missing), "coauthors": digest}, now=now)
