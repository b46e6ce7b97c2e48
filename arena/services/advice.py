"""Advice about entries: what checks found, kept beside the entry for the organizer. No verdict follows from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import select

from arena.errors import EntryNotFound
from arena.services.events import the_event, view_of
from arena.services.schemas import AdviceView, ComparisonView
from arena.store.bundles import BundleStore
from arena.store.schema import Entry
from arena.store.unit_of_work import Database
from arena.verification.advice import CheckedBundle
from trainer.checks.comparison import PARTS, Comparison
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
    found = [asdict(finding) for finding in findings if finding.check in LIMITS]
    return _keep(db, checked, "findings", found, now=now)


def record_retraining(db: Database, checked: CheckedBundle, comparisons: Sequence[Comparison], *, now: float) -> bool:
    """Keep what training an entry again gave, in place of what was kept before.

    Args:
        db: the event's database.
        checked: the entry, as it was when its training began.
        comparisons: one for each part.
        now: seconds since the epoch.

    Returns:
        False if the entry has another bundle meanwhile; then nothing changes.
    """
    return _keep(db, checked, "retraining", [asdict(one) for one in comparisons], now=now)


def _keep(db: Database, checked: CheckedBundle, kind: str, found: list[dict[str, Any]], *, now: float) -> bool:
    with db.writing() as session:
        entry = session.get(Entry, checked.entry)
        if entry is None or entry.bundle != checked.bundle:
            return False
        kept = entry.advice if entry.advice and entry.advice["bundle"] == checked.bundle else {}
        entry.advice = {**kept, "bundle": checked.bundle, "at": now, kind: found}
        return True


def _kept(entry: Entry, kind: str) -> list[dict[str, Any]] | None:
    """Return what is kept of one kind about the bundle that the entry has now; None for nothing."""
    kept = entry.advice
    return kept.get(kind) if kept is not None and kept["bundle"] == entry.bundle else None


def advice_of(entry: Entry) -> list[AdviceView] | None:
    """Return what the checks of an entry found; None if its bundle was not checked."""
    findings = _kept(entry, "findings")
    if findings is None:
        return None
    return [advice_view(Finding(**finding)) for finding in findings if finding["check"] in LIMITS]


def retraining_of(entry: Entry) -> list[ComparisonView] | None:
    """Return what training an entry again gave; None if its bundle was not trained again."""
    comparisons = _kept(entry, "retraining")
    if comparisons is None:
        return None
    return [retraining_view(Comparison(**one)) for one in comparisons if one["part"] in PARTS]


def retraining_view(comparison: Comparison) -> ComparisonView:
    """Return a comparison as people read it."""
    return ComparisonView(comparison.part, PARTS[comparison.part], comparison.verdict, comparison.detail)


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
