"""Verification: entries wait in a queue, workers lease them, one lease an attempt, and report verdicts.

The entry's row says which attempt is under way, and only that attempt's verdict counts. If a worker dies, its lease
ends, and another worker takes the entry. Equal bytes have equal verdicts, so no bundle is checked twice.

The queue is fair to owners: an entry's turn comes later, the more its own check and those of its owner cost. The turn
is fixed when the entry begins to wait, so nobody is overtaken for ever.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any, cast

from sqlalchemy import CursorResult, exists, func, or_, select, update
from sqlalchemy.orm import Session, aliased

from arena.rules.chain import log_salt
from arena.services.digests import digest_of_reason, digest_of_report, secret_of_event
from arena.services.log import append
from arena.services.schemas import Job
from arena.store.schema import Entry, Verification
from arena.store.unit_of_work import Database
from arena.verification.report import AMPLIFIED, Report, failed

BACK_OFF = (1.0, 5.0, 20.0, 60.0)  # seconds before a failed check is tried again; the last one repeats
OWN_LIMITS = ("memory", "time", "output")  # ERROR codes of a bundle that uses more than its header's model should need
LIMIT_FAILURES = 3  # in a row, before the bundle is refused: the machine may have been busy
MAX_REASON = 400  # characters
DECISIVE = ("PASS", "FAIL", "UNDECIDED", "MALFORMED")  # verdicts about the bytes; ERROR is about the machine
PATIENCE = 30.0  # seconds that an entry lets others pass for each second that its check costs
LATELY = 600.0  # seconds for which an owner's checks count
OVERRUN_SECONDS = 15.0  # after which a check that was called quick is none
DEAR_SECONDS = 20.0  # what its next check counts for
QUICK_SECONDS = 6.0  # of processor time: a quick check, as the large preset's; a worker keeps a place free for them
_OTHER = aliased(Entry)  # once: each new alias takes as long as the query


def enqueue(session: Session, entry: Entry, *, now: float) -> None:
    """Let an entry with all its bytes wait for its check, or give it the verdict that its bytes have already.

    Args:
        session: a writing transaction.
        entry: all its bytes are in the store.
        now: seconds since the epoch.
    """
    entry.state, entry.turn_at = "waiting", now + PATIENCE * (entry.cost + _cost_of_owner(session, entry, now))
    session.flush()
    if (report := _known_report(session, entry.bundle)) is not None:
        decide(session, entry, report, now)


def queue_places(session: Session) -> dict[str, int]:
    """Return the place in the queue of every entry that waits: 1 is checked next."""
    waiting = select(Entry.id).where(Entry.state == "waiting").order_by(Entry.turn_at, Entry.id)
    return {entry_id: place for place, entry_id in enumerate(session.scalars(waiting), start=1)}


def claim_next(
    db: Database, *, worker: str, lease_seconds: float, memory: int | None = None, quick: bool = False, now: float
) -> Job | None:
    """Lease the entry whose turn it is, among those that wait or whose lease has ended, to a worker.

    Args:
        db: the event's database.
        worker: its name, for the organizer: that of its host, a hyphen and a number.
        lease_seconds: how long the worker may be silent.
        memory: bytes that all checks under way on its host may use, those of other workers included; None: any. An
            entry that needs more by itself is leased when nothing else is checked.
        quick: lease a quick check only.
        now: seconds since the epoch.

    Returns:
        The job; None if no entry waits, or not enough memory is left for the one whose turn it is.
    """
    if not _has_due(db, quick, now):
        return None  # without a write: workers ask again and again
    with db.writing() as session:
        job = _lease(session, worker, lease_seconds, memory, quick, now)
        if job is None:
            return None
        unfinished = update(Verification).where(Verification.entry_id == job.entry, Verification.ended_at.is_(None))
        lost_attempts = cast(
            "CursorResult[Any]", session.execute(unfinished.values(ended_at=now, verdict="LOST"))
        ).rowcount
        if lost_attempts:  # a sign for the organizer: an entry that may crash every worker
            session.execute(update(Entry).where(Entry.id == job.entry).values(failures=Entry.failures + 1))
        session.add(
            Verification(entry_id=job.entry, attempt=job.attempt, worker=worker, bundle=job.bundle, started_at=now)
        )
        append(session, "check-started", {"entry": job.entry, "attempt": job.attempt}, now=now)
        return job


def end_dead_leases(db: Database, *, host: str, is_alive: Callable[[int], bool], now: float) -> int:
    """End the leases of this host's workers whose process has ended, so that their entries are taken at once.

    Should a worker be alive after all, as where two hosts have one name, the entry is checked twice: the first verdict
    does not count then.

    Args:
        db: the event's database.
        host: the host's name, as workers have it before the hyphen and the number of their process.
        is_alive: returns whether a process of this number runs.
        now: seconds since the epoch.

    Returns:
        The number of leases.
    """

    def is_dead(worker: str) -> bool:
        name, _, number = worker.rpartition("-")
        return name == host and number.isascii() and number.isdigit() and not is_alive(int(number))

    held = (Entry.state == "verifying") & (Entry.lease_until >= now)
    with db.reading() as session:
        dead = [
            worker for worker in session.scalars(select(Entry.worker).where(held).distinct()) if is_dead(worker or "")
        ]
    if not dead:
        return 0  # without a write, for which a worker would have to wait while it starts
    with db.writing() as session:
        ended = update(Entry).where(held, Entry.worker.in_(dead)).values(lease_until=0.0)
        return cast("CursorResult[Any]", session.execute(ended)).rowcount


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
            data = {"entry": job.entry, "attempt": job.attempt, **report_digest(session, job.entry, report)}
            append(session, "verdict-late", data, now=now)
        elif report.verdict in DECISIVE or (
            report.code in OWN_LIMITS and _count_excesses(session, job.entry) >= LIMIT_FAILURES
        ):
            decide(session, entry, report, now)
        else:
            _requeue(session, entry, job, report, now)
        if report.verdict in DECISIVE:
            same = select(Entry).where(Entry.state == "waiting", Entry.bundle == job.bundle)
            for other in session.scalars(same.order_by(Entry.turn_at, Entry.id)).all():
                decide(session, other, report, now)
        return entry is not None


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


def postpone(db: Database, job: Job, *, now: float) -> None:
    """Return an entry to the queue as a dear one: its check takes much longer than its header made expect.

    Args:
        db: the event's database.
        job: the attempt, which was stopped.
        now: seconds since the epoch.
    """
    with db.writing() as session:
        entry = _leased(session, job)
        report = failed("time", f" ({OVERRUN_SECONDS:,.0f} seconds)")
        _end_attempt(session, job, report, now)
        data = {"entry": job.entry, "attempt": job.attempt, **report_digest(session, job.entry, report)}
        append(session, "verdict-late" if entry is None else "check-postponed", data, now=now)
        if entry is not None:
            entry.cost, entry.lease_until = max(entry.cost, DEAR_SECONDS), None
            enqueue(session, entry, now=now)


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


def _due(now: float, quick: bool) -> Any:
    """Return the condition of entries that may be checked now; of equal bundles, one at a time."""
    under_way = exists().where(
        _OTHER.bundle == Entry.bundle, _OTHER.id != Entry.id, _OTHER.state == "verifying", _OTHER.lease_until >= now
    )
    due = or_(
        (Entry.state == "waiting") & (Entry.not_before <= now),
        (Entry.state == "verifying") & (Entry.lease_until < now),
    )
    return due & ~under_way & (Entry.cost <= QUICK_SECONDS) if quick else due & ~under_way


def _has_due(db: Database, quick: bool, now: float) -> bool:
    with db.reading() as session:
        return session.scalar(select(Entry.id).where(_due(now, quick)).limit(1)) is not None


def _lease(
    session: Session, worker: str, lease_seconds: float, memory: int | None, quick: bool, now: float
) -> Job | None:
    """Lease the first entry of the queue, if the memory is enough."""
    first = session.scalars(select(Entry).where(_due(now, quick)).order_by(Entry.turn_at, Entry.id).limit(1)).first()
    if first is None or first.bundle is None:
        return None
    here = Entry.worker.startswith(worker.rpartition("-")[0], autoescape=True)  # a name begins with that of the host
    under_way = (Entry.state == "verifying") & (Entry.lease_until >= now) & (Entry.id != first.id)
    used = session.scalar(select(func.sum(Entry.memory)).where(under_way, here))
    if memory is not None and used and used + first.memory > memory:
        return None
    first.state, first.attempt = "verifying", first.attempt + 1
    first.worker, first.lease_until = worker, now + lease_seconds
    session.flush()
    return Job(first.id, first.attempt, worker, first.bundle, first.size, first.cost, first.lease_until)


def _cost_of_owner(session: Session, entry: Entry, now: float) -> float:
    """Return the seconds that the owner's other checks cost: those begun lately, and those that wait."""
    by_owner = select(func.sum(Entry.cost)).where(Entry.owner_id == entry.owner_id)
    begun = by_owner.join(Verification, Verification.entry_id == Entry.id)
    return sum(
        session.scalar(query) or 0.0
        for query in (
            begun.where(Verification.started_at > now - LATELY),
            by_owner.where(Entry.state == "waiting", Entry.id != entry.id),
        )
    )


def _known_report(session: Session, bundle: str | None) -> Report | None:
    """Return the report of an earlier check of the same bytes."""
    query = select(Verification.report).where(Verification.bundle == bundle, Verification.verdict.in_(DECISIVE))
    try:
        return Report.from_dict(session.scalars(query.order_by(Verification.id.desc()).limit(1)).first())
    except ValueError:  # there is none, or another version wrote it
        return None


def decide(session: Session, entry: Entry, report: Report, now: float) -> None:
    """Write what a report means for an entry.

    Args:
        session: a writing transaction.
        entry: the entry.
        report: the result of its check.
        now: seconds since the epoch.
    """
    entry.verdict, entry.failures, entry.lease_until = report.verdict, 0, None
    if report.verdict == "PASS" and report.text == entry.text:
        entry.state, entry.code, entry.reason = "verified", None, None
    else:
        entry.state, entry.code, entry.reason = "refused", report.code, reason_of_report(report)
    data = {"entry": entry.id, "attempt": entry.attempt, "state": entry.state, "code": entry.code}
    data |= {"reason": digest_of_reason(session, entry), **report_digest(session, entry.id, report)}
    append(session, "verdict", data, now=now)
    if entry.state == "verified":
        session.flush()
        replace_earlier(session, entry, now)


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


def report_digest(session: Session, entry_id: str, report: Report) -> dict[str, str]:
    """Return what the log holds of a report: its verdict, and a digest of all of it."""
    salt = log_salt(secret_of_event(session))
    return {"verdict": report.verdict, "report": digest_of_report(salt, entry_id, asdict(report))}


def _requeue(session: Session, entry: Entry, job: Job, report: Report, now: float) -> None:
    entry.not_before = now + BACK_OFF[min(entry.failures, len(BACK_OFF) - 1)]
    entry.state, entry.lease_until, entry.failures = "waiting", None, entry.failures + 1
    entry.code, entry.reason = report.code or "error", report.reason
    data = {"entry": entry.id, "attempt": job.attempt, "code": entry.code, "reason": digest_of_reason(session, entry)}
    append(session, "check-released", data | report_digest(session, entry.id, report), now=now)


def replace_earlier(session: Session, entry: Entry, now: float) -> None:
    """Replace all verified entries of an owner but the one claimed last, whichever was checked first."""
    query = select(Entry).where(Entry.owner_id == entry.owner_id, Entry.state == "verified")
    ordered = sorted(session.scalars(query), key=lambda verified: (verified.claimed_at, verified.id))
    for earlier in ordered[:-1]:
        earlier.state, earlier.code = "replaced", None
        append(session, "entry-replaced", {"entry": earlier.id, "by": ordered[-1].id}, now=now)
