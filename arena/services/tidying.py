"""Tidying: bundles that nobody needs any more are removed from the disk."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from arena.rules.lifecycle import LIVE
from arena.services.log import append
from arena.store.bundles import BundleStore, StoredBundle
from arena.store.schema import Entry
from arena.store.unit_of_work import Database

RECENT_SECONDS = 3_600.0  # a file that no row names may belong to an upload that ends just now


def find_unneeded(db: Database, bundles: BundleStore, *, now: float) -> list[StoredBundle]:
    """Find the bundles of refused, replaced, withdrawn and expired entries, and files that belong to no entry.

    What was in the draw is kept, since its matches can be recomputed from it; so is what could be reinstated.

    Args:
        db: the event's database.
        bundles: the store of whole bundles.
        now: seconds since the epoch.
    """
    with db.reading() as session:
        return _unneeded(session, bundles, now)


def remove_unneeded(db: Database, bundles: BundleStore, digests: Collection[str], *, now: float) -> list[StoredBundle]:
    """Remove those of the bundles that nobody needs still; verdicts, digests and verses stay in the database.

    Args:
        db: the event's database.
        bundles: the store of whole bundles.
        digests: what `find_unneeded` found.
        now: seconds since the epoch.

    Returns:
        The bundles removed.
    """
    with db.writing() as session:  # so that nobody enters one of them again meanwhile
        removed = [stored for stored in _unneeded(session, bundles, now) if stored.digest in digests]
        for stored in removed:
            bundles.remove(stored.digest)
        if removed:
            size = sum(stored.size for stored in removed)
            append(session, "bundles-removed", {"bundles": len(removed), "bytes": size}, now=now)
        return removed


def _unneeded(session: Session, bundles: BundleStore, now: float) -> list[StoredBundle]:
    needed = or_(Entry.state.in_((*LIVE, "disqualified")), Entry.seed.is_not(None))
    kept = set(session.scalars(select(Entry.bundle).where(Entry.bundle.is_not(None), needed)))
    known = set(session.scalars(select(Entry.bundle).where(Entry.bundle.is_not(None))))
    return [
        stored
        for stored in bundles.stored()
        if stored.digest not in kept and (stored.digest in known or stored.changed_at < now - RECENT_SECONDS)
    ]
