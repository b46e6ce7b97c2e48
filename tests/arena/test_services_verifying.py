"""The services of verification: leases, attempts, and which verdict counts."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

from arena.services.disqualification import disqualify
from arena.services.entries import entries_of, withdraw
from arena.services.queries import console_view
from arena.services.schemas import EntryStatus, Job
from arena.services.verification import claim_next, record_verdict, release, renew
from arena.verification.check import check_bundle
from arena.verification.report import Report
from tests.support.bundle_parts import edit_claim
from tests.support.bundles import Poet, undecided_verse, verses
from tests.support.evening import Evening, secret_of
from trainer.verse.generate import Written


def only(evening: Evening, name: str = "ann") -> EntryStatus:
    return entries_of(evening.db, secret_of(name), now=evening.now)[0]


def lease(evening: Evening, worker: str = "worker") -> Job:
    job = evening.lease(worker)
    assert job is not None
    return job


def passed(evening: Evening, job: Job) -> Report:
    return check_bundle(evening.bundles.local_copy(job.bundle).read_bytes())


def test_the_oldest_waiting_entry_is_leased_first(evening: Evening) -> None:
    evening.begin()
    assert evening.lease() is None
    entries = []
    for number, bundle in enumerate(verses(3)):
        entries.append(evening.enter(f"poet{number}", bundle))
        evening.now += 1
    assert [entry.place for entry in console_view(evening.db, now=evening.now).entries] == [1, 2, 3]
    jobs = [lease(evening) for _ in range(3)]
    assert [job.entry for job in jobs] == entries and {job.attempt for job in jobs} == {1}
    assert jobs[0].lease_until == evening.now + 30 and evening.lease() is None


def test_workers_that_claim_at_once_never_get_the_same_entry(evening: Evening) -> None:
    evening.begin()
    for number, bundle in enumerate(verses(6)):
        evening.enter(f"poet{number}", bundle)
    start = threading.Barrier(4)

    def work(number: int) -> list[str]:
        start.wait()
        mine = []
        while job := claim_next(evening.db, worker=f"w{number}", lease_seconds=30, now=evening.now):
            mine.append(job.entry)
        return mine

    with ThreadPoolExecutor(4) as pool:
        leased = [entry for mine in pool.map(work, range(4)) for entry in mine]
    assert len(leased) == len(set(leased)) == 6


def test_a_killed_worker_costs_one_lease_and_no_entry(evening: Evening) -> None:
    evening.begin()
    evening.enter("ann", verses(1)[0])
    dead = lease(evening, "dead")
    evening.now += 30
    assert evening.lease("next") is None  # the lease still holds
    evening.now += 0.1
    job = lease(evening, "next")
    assert (job.entry, job.attempt) == (dead.entry, 2)
    assert record_verdict(evening.db, job, passed(evening, job), now=evening.now)
    assert only(evening).state == "verified"


def test_a_stale_attempts_verdict_does_not_count(evening: Evening) -> None:
    evening.begin()
    evening.enter("ann", verses(1)[0])
    slow = lease(evening, "slow")
    evening.now += 31
    quick = lease(evening, "quick")
    assert not record_verdict(evening.db, slow, Report("FAIL", code="differs"), now=evening.now)
    assert not renew(evening.db, slow, lease_seconds=30, now=evening.now)
    assert not release(evening.db, slow, "gone", now=evening.now)
    assert only(evening).state == "verifying"
    assert record_verdict(evening.db, quick, passed(evening, quick), now=evening.now)
    assert not record_verdict(evening.db, slow, Report("FAIL", code="differs"), now=evening.now)
    assert not record_verdict(evening.db, quick, Report("FAIL", code="differs"), now=evening.now)
    assert only(evening).state == "verified"


def test_a_verdict_after_the_lease_counts_while_nobody_else_has_the_entry(evening: Evening) -> None:
    evening.begin()
    evening.enter("ann", verses(1)[0])
    job = lease(evening)
    evening.now += 300
    assert record_verdict(evening.db, job, passed(evening, job), now=evening.now)


def test_a_renewed_lease_holds(evening: Evening) -> None:
    evening.begin()
    evening.enter("ann", verses(1)[0])
    job = lease(evening)
    for _ in range(5):
        evening.now += 29
        assert renew(evening.db, job, lease_seconds=30, now=evening.now)
    assert evening.lease("other") is None


def test_one_of_two_verdicts_at_the_same_moment_counts(evening: Evening) -> None:
    evening.begin()
    evening.enter("ann", verses(1)[0])
    job = lease(evening)
    report, start = passed(evening, job), threading.Barrier(4)

    def record(_: int) -> bool:
        start.wait()
        return record_verdict(evening.db, job, report, now=evening.now)

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(record, range(4))) == [False, False, False, True]


def test_a_verse_that_differs_on_replay_is_refused_with_the_position(
    evening: Evening, poet: Poet, other_seed: tuple[Written, Written]
) -> None:
    def forge(claim: dict[str, object]) -> None:
        recipe = claim["recipe"]
        assert isinstance(recipe, dict)
        recipe["seed"] = other_seed[1].recipe.seed

    evening.begin()
    evening.enter("ann", edit_claim(poet.pack(other_seed[0]), forge))
    evening.verify_all()
    now = only(evening)
    assert (now.state, now.verdict, now.code) == ("refused", "FAIL", "differs")
    assert "the server wrote another verse" in now.reason and "claims" in now.reason


def test_an_undecided_verse_is_refused_without_blame(evening: Evening) -> None:
    evening.begin()
    evening.enter("ann", undecided_verse())
    evening.verify_all()
    now = only(evening)
    assert (now.state, now.verdict, now.code) == ("refused", "UNDECIDED", "too-close")
    assert "nobody's fault" in now.reason and now.may_replace


def test_a_failure_of_the_infrastructure_is_never_held_against_the_participant(evening: Evening) -> None:
    evening.begin()
    evening.enter("ann", verses(1)[0])
    for attempt in range(1, 9):
        job = lease(evening)
        assert job.attempt == attempt
        assert release(evening.db, job, "no memory left on this host", now=evening.now)
        now = only(evening)
        assert now.state == "waiting" and "not yours" in now.reason
        assert console_view(evening.db, now=evening.now).entries[0].failures == attempt
        evening.now += 60
    job = lease(evening)
    assert record_verdict(evening.db, job, passed(evening, job), now=evening.now)
    assert only(evening).state == "verified" and console_view(evening.db, now=evening.now).entries[0].failures == 0


def test_a_check_that_cannot_be_done_is_tried_ever_more_slowly_and_lets_others_pass(evening: Evening) -> None:
    evening.begin()
    first, second = verses(2)
    evening.enter("ann", first)
    evening.now += 1
    evening.enter("bob", second)
    assert release(evening.db, lease(evening), "trouble", now=evening.now)
    job = lease(evening)
    assert job.entry == only(evening, "bob").entry
    assert record_verdict(evening.db, job, passed(evening, job), now=evening.now)
    waits = []
    for _ in range(5):
        start = evening.now
        while (job_or_none := evening.lease()) is None:
            evening.now += 1
        waits.append(evening.now - start)
        assert release(evening.db, job_or_none, "trouble", now=evening.now)
    assert waits == [1, 5, 20, 60, 60]


def test_a_bundle_that_goes_over_its_own_limits_three_times_is_refused(evening: Evening) -> None:
    evening.begin()
    evening.enter("ann", verses(1)[0])
    for code, state in (("memory", "waiting"), ("crash", "waiting"), ("time", "waiting"), ("memory", "waiting")):
        assert record_verdict(evening.db, lease(evening), Report("ERROR", code=code, reason="why"), now=evening.now)
        assert only(evening).state == state
        evening.now += 100
    assert record_verdict(evening.db, lease(evening), Report("ERROR", code="time", reason="slow"), now=evening.now)
    now = only(evening)
    assert (now.state, now.code) == ("refused", "time") and "three checks" in now.reason


def test_a_passing_report_on_another_text_verifies_no_entry(evening: Evening) -> None:
    evening.begin()
    evening.enter("ann", verses(1)[0])
    assert record_verdict(evening.db, lease(evening), Report("PASS", text="another"), now=evening.now)
    assert only(evening).state == "refused"


def test_a_verdict_on_an_entry_withdrawn_or_disqualified_meanwhile_does_not_count(evening: Evening) -> None:
    evening.begin()
    first, second = verses(2)
    one, two = evening.enter("ann", first), evening.enter("bob", second)
    jobs = [lease(evening), lease(evening)]
    withdraw(evening.db, one, secret_of("ann"), now=evening.now)
    disqualify(evening.db, two, "copied from a book", now=evening.now)
    for job in jobs:
        assert not record_verdict(evening.db, job, passed(evening, job), now=evening.now)
    assert (only(evening, "ann").state, only(evening, "bob").state) == ("withdrawn", "disqualified")
    assert only(evening, "bob").reason == "copied from a book"
