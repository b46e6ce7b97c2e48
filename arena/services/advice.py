"""Advice about entries: what checks found, kept beside the entry for the organizer. No verdict follows from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from sqlalchemy import select

from arena.errors import EntryNotFound
from arena.services.events import the_event, view_of
from arena.services.schemas import AdviceView
from arena.store.bundles import BundleStore
from arena.store.schema import Entry
from arena.store.unit_of_work import Database
from arena.verification.advice import CheckedBundle
from trainer.checks.limits import LIMITS, Finding


def verified_bundles(db: Database, bundles: BundleStore) -> tuple[list[CheckedBundle], str | None]:
    """Return the verified entries in the order of their claims, and the event's nonce; None before it has started.

    Raises:
        BundlesUnreachable: One is not on this disk, and the object store cannot be asked.
    """
    with db.reading() as session:
        query = select(Entry).where(Entry.state == "verified", Entry.bundle.is_not(None))
        entries = list(session.scalars(query.order_by(Entry.claimed_at, Entry.id)))
        nonce = view_of(the_event(session)).nonce
    return [_checked_bundle(entry, bundles) for entry in entries], nonce


def _checked_bundle(entry: Entry, bundles: BundleStore) -> CheckedBundle:
    assert entry.bundle is not None
    return CheckedBundle(
        entry=entry.id,
        owner=entry.owner_id,
        poem=entry.prompt + entry.text,
        bundle=entry.bundle,
        path=str(bundles.local_copy(entry.bundle).absolute()),
    )


def choose(everybody: Sequence[CheckedBundle], entry_ids: Sequence[str]) -> list[CheckedBundle]:
    """Return the entries with these ids.

    Raises:
        EntryNotFound: One has no verified verse.
    """
    chosen = [one for one in everybody if one.entry in entry_ids]
    if missing := set(entry_ids) - {one.entry for one in chosen}:
        raise EntryNotFound(sorted(missing)[0][:8])
    return chosen


def record_advice(db: Database, checked: CheckedBundle, findings: Sequence[Finding], *, now: float) -> bool:
    """Keep what the checks of an entry found, in place of what an earlier check found.

    Args:
        db: the event's database.
        checked: the entry, as it was when its checks began.
        findings: one for each check.
        now: seconds since the epoch.

    Returns:
        False if the entry has another bundle meanwhile; then nothing changes.
    """
    with db.writing() as session:
        entry = session.get(Entry, checked.entry)
        if entry is None or entry.bundle != checked.bundle:
            return False
        entry.advice = {
            "bundle": checked.bundle,
            "at": now,
            "findings": [asdict(finding) for finding in findings if finding.check in LIMITS],
        }
        return True


def advice_of(entry: Entry) -> list[AdviceView] | None:
    """Return what the checks of an entry found; None if its bundle was not checked."""
    kept = entry.advice
    if kept is None or kept["bundle"] != entry.bundle:
        return None
    return [advice_view(Finding(**finding)) for finding in kept["findings"] if finding["check"] in LIMITS]


def advice_view(finding: Finding) -> AdviceView:
    """Return a finding as people read it."""
    limit = finding.limit
    return AdviceView(
        check=finding.check,
        question=limit.question,
        verdict=finding.verdict,
        number=finding.number,
        bound=limit.bound,
        alarms=limit.rate,
        detail=finding.detail,
    )
