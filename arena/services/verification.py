"""Hands entries to workers, one lease an attempt, and takes their verdicts.

The entry's row is the truth. A worker that dies costs its lease and nothing else: when that has run out the entry goes
to the next. A verdict counts only with the number of the attempt that is still under way.
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
from arena.verification.report import Report

BACK_OFF = (1.0, 5.0, 20.0, 60.0)  # seconds before a check that could not be done is tried again, then always the last
OWN_LIMITS = ("memory", "time", "output")  # ERROR codes of a bundle that uses more than its header's model should need
LIMIT_FAILURES = 3  # so often it must do so, on a machine that may have been busy, before it is refused
MAX_REASON = 400  # characters


def claim_next(db: Database, *, worker: str, lease_seconds: float, now: float) -> Job | None:
    """Lease the oldest entry that waits, or whose lease has run out, to a worker; None if there is none."""
    if not _anything(db, now):
        return None  # without a write: workers ask again and again
    with db.writing() as session:
        job = _lease(session, worker, lease_seconds, now)
        if job is None:
            return None
        lost = update(Verification).where(Verification.entry_id == job.entry, Verification.ended_at.is_(None))
        gone = cast("CursorResult[Any]", session.execute(lost.values(ended_at=now, verdict="LOST"))).rowcount
        if gone:  # nothing but a sign for the organizer: an entry that ends every worker
            session.execute(update(Entry).where(Entry.id == job.entry).values(failures=Entry.failures + 1))
        session.add(Verification(entry_id=job.entry, attempt=job.attempt, worker=worker, started_at=now))
        append(session, "check-started", {"entry": job.entry, "attempt": job.attempt}, now=now)
        return job


def renew(db: Database, job: Job, *, lease_seconds: float, now: float) -> bool:
    """Keep the lease; False if the entry is no longer this attempt's, and the check may stop."""
    with db.writing() as session:
        entry = _leased(session, job)
        if entry is None:
            return False
        entry.lease_until = now + lease_seconds
        return True


def record_verdict(db: Database, job: Job, report: Report, *, now: float) -> bool:
    """Take the report on an entry; False if it came too late to count.

    PASS lets the entry in, and it replaces an earlier one of its owner. FAIL, MALFORMED and UNDECIDED refuse it. ERROR
    says nothing about the verse, and the check is tried again, except that a bundle that went over the limits of its
    own header three times is refused.
    """
    with db.writing() as session:
        entry = _leased(session, job)
        _end_attempt(session, job, report, now)
        if entry is None:
            append(session, "verdict-late", {"entry": job.entry, "attempt": job.attempt}, now=now)
            return False
        if report.verdict == "ERROR":
            over = report.code in OWN_LIMITS and _times_over(session, job.entry) >= LIMIT_FAILURES
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
    """Give an entry back unchecked, for trouble that is not its own; False if the lease was lost already."""
    return record_verdict(db, job, Report("ERROR", code="released", reason=reason[:MAX_REASON]), now=now)


def reason_of_report(report: Report) -> str:
    """A refusal in plain words. Holds untrusted text: what tokens spell."""
    if report.verdict == "FAIL" and report.expected and report.got:
        where = f"after {_quoted(report.before)}" if report.before else "at its very beginning"
        return (
            f"the server wrote another verse: {where} this checkpoint and recipe write "
            f"{_quoted(report.expected['text'])}, and the bundle claims {_quoted(report.got['text'])}"
        )[:MAX_REASON]
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


def _anything(db: Database, now: float) -> bool:
    with db.reading() as session:
        return session.scalar(select(Entry.id).where(_due(now)).limit(1)) is not None


def _lease(session: Session, worker: str, lease_seconds: float, now: float) -> Job | None:
    """The claim itself: one UPDATE ... RETURNING."""
    oldest = select(Entry.id).where(_due(now)).order_by(Entry.queued_at, Entry.id).limit(1)
    if session.get_bind().dialect.name == "postgresql":
        oldest = oldest.with_for_update(skip_locked=True)
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
    """The entry, if this attempt is still the one under way. A lease that ran out counts until another takes it."""
    query = select(Entry).where(Entry.id == job.entry, Entry.state == "verifying", Entry.attempt == job.attempt)
    return session.scalars(query).first()


def _end_attempt(session: Session, job: Job, report: Report, now: float) -> None:
    query = select(Verification).where(Verification.entry_id == job.entry, Verification.attempt == job.attempt)
    attempt = session.scalars(query).first()
    if attempt is not None:
        attempt.ended_at, attempt.verdict, attempt.report = now, report.verdict, asdict(report)
        session.flush()


def _times_over(session: Session, entry_id: str) -> int:
    """How many of the latest attempts in a row went over the bundle's own limits."""
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
    """Of one owner's verified entries the latest claim stays in, whichever was checked first."""
    query = select(Entry).where(Entry.owner_id == entry.owner_id, Entry.state == "verified")
    ordered = sorted(session.scalars(query), key=lambda one: (one.claimed_at, one.id))
    for earlier in ordered[:-1]:
        earlier.state, earlier.code = "replaced", None
        append(session, "entry-replaced", {"entry": earlier.id, "by": ordered[-1].id}, now=now)
