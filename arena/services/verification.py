"""Verification: workers lease entries, one lease an attempt, and report verdicts.

The entry's row says which attempt is under way, and only that attempt's verdict counts. If a worker dies, its lease
ends, and another worker takes the entry.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, cast

from sqlalchemy import CursorResult, or_, select, update
from sqlalchemy.orm import Session

from arena.services.log import append
from arena.services.schemas import Job
from arena.store.schema import Entry, Verification
from arena.store.unit_of_work import Database
from arena.verification.report import AMPLIFIED, Report

BACK_OFF = (1.0, 5.0, 20.0, 60.0)  # seconds before a failed check is tried again; the last one repeats
OWN_LIMITS = ("memory", "time", "output")  # ERROR codes of a bundle that uses more than its header's model should need
LIMIT_FAILURES = 3  # in a row, before the bundle is refused: the machine may have been busy
MAX_REASON = 400  # characters


def claim_next(db: Database, *, worker: str, lease_seconds: float, now: float) -> Job | None:
    """Lease the oldest entry that waits, or whose lease has ended, to a worker.

    Args:
        db: the event's database.
        worker: its name, for the organizer.
        lease_seconds: how long the worker may be silent.
        now: seconds since the epoch.

    Returns:
        The job; None if no entry waits.
    """
    if not _has_due(db, now):
        return None  # without a write: workers ask again and again
    with db.writing() as session:
        job = _lease(session, worker, lease_seconds, now)
        if job is None:
            return None
        unfinished = update(Verification).where(Verification.entry_id == job.entry, Verification.ended_at.is_(None))
        lost_attempts = cast(
            "CursorResult[Any]", session.execute(unfinished.values(ended_at=now, verdict="LOST"))
        ).rowcount
        if lost_attempts:  # a sign for the organizer: an entry that may crash every worker
            session.execute(update(Entry).where(Entry.id == job.entry).values(failures=Entry.failures + 1))
        session.add(Verification(entry_id=job.entry, attempt=job.attempt, worker=worker, started_at=now))
        append(session, "check-started", {"entry": job.entry, "attempt": job.attempt}, now=now)
        return job


def renew(db: Database, job: Job, *, lease_seconds: float, now: float) -> bool:
    """Renew a lease.

    Args:
        db: the event's database.
        job: the attempt.
        lease_seconds: how long the worker may be silent.
        now: seconds since the epoch.

    Returns:
        False if the entry no longer belongs to this attempt, so that the check may stop.
    """
    with db.writing() as session:
        entry = _leased(session, job)
        if entry is None:
            return False
        entry.lease_until = now + lease_seconds
        return True


def record_verdict(db: Database, job: Job, report: Report, *, now: float) -> bool:
    """Record the verdict on an entry.

    PASS verifies the entry, and it replaces an earlier one of its owner. FAIL, MALFORMED and UNDECIDED refuse it. ERROR
    says nothing about the verse, and the check is tried again; but a bundle that exceeds the limits of its own header
    three times is refused.

    Args:
        db: the event's database.
        job: the attempt.
        report: its result.
        now: seconds since the epoch.

    Returns:
        False if it came too late to count.
    """
    with db.writing() as session:
        entry = _leased(session, job)
        _end_attempt(session, job, report, now)
        if entry is None:
            append(session, "verdict-late", {"entry": job.entry, "attempt": job.attempt}, now=now)
            return False
        if report.verdict == "ERROR":
            over = report.code in OWN_LIMITS and _count_excesses(session, job.entry) >= LIMIT_FAILURES
            if not over:
                _requeue(session, entry, job, report.code or "error", report.reason, now)
                return True
        entry.verdict, entry.failures, entry.lease_until = report.verdict, 0, None
        if report.verdict == "PASS" and report.text == entry.text:
            entry.state, entry.code, entry.reason = "verified", None, None
            session.flush()
            _replace_earlier(session, entry, now)
        else:
            entry.state, entry.code, entry.reason = "refused", report.code, reason_of_report(report)
        data = {"entry": entry.id, "attempt": job.attempt, "verdict": report.verdict, "state": entry.state}
        append(session, "verdict", data, now=now)
        return True


def release(db: Database, job: Job, reason: str, *, now: float) -> bool:
    """Return an entry to the queue unchecked, for a reason that is not its own.

    Args:
        db: the event's database.
        job: the attempt.
        reason: one sentence, for the organizer.
        now: seconds since the epoch.

    Returns:
        False if the lease had ended.
    """
    return record_verdict(db, job, Report("ERROR", code="released", reason=reason[:MAX_REASON]), now=now)


def reason_of_report(report: Report) -> str:
    """Explain a refusal in one sentence, which may hold untrusted text."""
    if report.verdict == "FAIL" and report.expected and report.got:
        where = f"after {_quoted(report.before)}" if report.before else "at its very beginning"
        return (
            f"the server wrote another verse: {where} this checkpoint and recipe write "
            f"{_quoted(report.expected['text'])}, and the bundle claims {_quoted(report.got['text'])}"
        )[:MAX_REASON]
    if report.reason == AMPLIFIED:
        return f"{AMPLIFIED}: enter a verse of another model"
    if report.verdict == "UNDECIDED":
        return (
            f"token {report.position} is decided so closely that two machines may differ on it, which is nobody's "
            "fault: enter the verse of a near seed instead"
        )
    if report.verdict == "ERROR":
        return f"three checks had to be stopped: {report.reason}"[:MAX_REASON]
    if report.verdict == "PASS":
        return "the file checked is not the one that was claimed"
    return (report.reason or "it cannot be verified")[:MAX_REASON]


def _quoted(text: str | None) -> str:
    return f"“{text or ''}”".replace("\n", "↵")


def _due(now: float) -> Any:
    return or_(
        (Entry.state == "waiting") & (Entry.not_before <= now),
        (Entry.state == "verifying") & (Entry.lease_until < now),
    )


def _has_due(db: Database, now: float) -> bool:
    with db.reading() as session:
        return session.scalar(select(Entry.id).where(_due(now)).limit(1)) is not None


def _lease(session: Session, worker: str, lease_seconds: float, now: float) -> Job | None:
    """Lease one entry, with one UPDATE ... RETURNING."""
    oldest = select(Entry.id).where(_due(now)).order_by(Entry.queued_at, Entry.id).limit(1)
    lease = (
        update(Entry)
        .where(Entry.id == oldest.scalar_subquery())
        .values(state="verifying", attempt=Entry.attempt + 1, worker=worker, lease_until=now + lease_seconds)
        .returning(Entry.id, Entry.attempt, Entry.bundle, Entry.size, Entry.lease_until)
        .execution_options(synchronize_session=False)
    )
    row = session.execute(lease).first()
    if row is None or row.bundle is None or row.lease_until is None:
        return None
    return Job(row.id, row.attempt, worker, row.bundle, row.size, row.lease_until)


def _leased(session: Session, job: Job) -> Entry | None:
    """Return the entry while this attempt is the latest; an ended lease holds until another worker takes it."""
    query = select(Entry).where(Entry.id == job.entry, Entry.state == "verifying", Entry.attempt == job.attempt)
    return session.scalars(query).first()


def _end_attempt(session: Session, job: Job, report: Report, now: float) -> None:
    query = select(Verification).where(Verification.entry_id == job.entry, Verification.attempt == job.attempt)
    attempt = session.scalars(query).first()
    if attempt is not None:
        attempt.ended_at, attempt.verdict, attempt.report = now, report.verdict, asdict(report)
        session.flush()


def _count_excesses(session: Session, entry_id: str) -> int:
    """Count the latest attempts in a row that exceeded the bundle's own limits."""
    query = select(Verification).where(Verification.entry_id == entry_id).order_by(Verification.attempt.desc())
    count = 0
    for attempt in session.scalars(query):
        if attempt.verdict != "ERROR" or (attempt.report or {}).get("code") not in OWN_LIMITS:
            break
        count += 1
    return count


def _requeue(session: Session, entry: Entry, job: Job, code: str, reason: str | None, now: float) -> None:
    entry.not_before = now + BACK_OFF[min(entry.failures, len(BACK_OFF) - 1)]
    entry.state, entry.lease_until, entry.failures = "waiting", None, entry.failures + 1
    entry.code, entry.reason = code, reason
    append(session, "check-released", {"entry": entry.id, "attempt": job.attempt, "code": code}, now=now)


def _replace_earlier(session: Session, entry: Entry, now: float) -> None:
    """Replace all verified entries of an owner but the one claimed last, whichever was checked first."""
    query = select(Entry).where(Entry.owner_id == entry.owner_id, Entry.state == "verified")
    ordered = sorted(session.scalars(query), key=lambda verified: (verified.claimed_at, verified.id))
    for earlier in ordered[:-1]:
        earlier.state, earlier.code = "replaced", None
        append(session, "entry-replaced", {"entry": earlier.id, "by": ordered[-1].id}, now=now)
