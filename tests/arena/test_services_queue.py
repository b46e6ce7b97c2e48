"""The queue of checks: fair to owners, no bytes checked twice, costs capped, one memory budget. See THREATS.md."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from arena.services import queries
from arena.services.entries import entry_status
from arena.services.events import set_rules
from arena.services.schemas import ConsoleEntry, EventRules, Job
from arena.services.verification import OVERRUN_SECONDS, QUICK_SECONDS, claim_next, record_verdict
from arena.verification.check import check_bundle
from arena.verification.cost import estimate_cost
from arena.verification.report import Report
from arena.verification.runner import Cancelled
from arena.worker import Worker
from tests.arena.test_web_enter import Trainer
from tests.support.bundles import LARGEST, dear_verse, forged_verse, header_of, undecided_verse, verse
from tests.support.evening import Evening, secret_of
from tests.support.server import within
from trainer.verse.claim import Claim, parse_claim
from trainer.verse.config import ModelConfig

MIB = 2**20
LONG = EventRules(characters=2_000, prompt_characters=2_000)  # dear verses are long


@pytest.fixture
def evening(tmp_path: Path) -> Iterator[Evening]:
    evening = Evening(tmp_path / "event").begin(LONG)
    yield evening
    evening.end()


def lease(evening: Evening, **options: Any) -> Job | None:
    return claim_next(evening.db, worker="worker", lease_seconds=30.0, now=evening.now, **options)


def check(evening: Evening, job: Job | None) -> None:
    assert job
    report = check_bundle(evening.bundles.local_copy(job.bundle).read_bytes())
    assert record_verdict(evening.db, job, report, now=evening.now)


def check_all(evening: Evening) -> list[str]:
    """Check what waits, in its order; the entries."""
    order = []
    while job := lease(evening):
        order.append(job.entry)
        check(evening, job)
    return order


def by_name(evening: Evening) -> dict[str, ConsoleEntry]:
    return {entry.name: entry for entry in queries.list_entries(evening.db)}


def states(evening: Evening) -> list[str]:
    return [entry.state for entry in queries.list_entries(evening.db)]


def claim_of(data: bytes) -> Claim:
    return parse_claim(header_of(data))


def hold(_: Path, cancelled: threading.Event) -> Report:
    cancelled.wait(20)
    return Report("ERROR", code="crash")


def test_an_owner_of_three_entries_does_not_make_another_wait_for_all_of_them(evening: Evening) -> None:
    greedy = [evening.enter("eve", verse(number)) for number in range(3)]
    evening.now += 1
    honest = evening.enter("ann", verse(3))
    assert by_name(evening)["ann"].place == 2
    assert entry_status(evening.db, honest, secret_of("ann"), now=evening.now).place == 2
    assert check_all(evening) == [greedy[0], honest, *greedy[1:]]


def test_an_owner_whose_verses_were_checked_lately_waits_for_others(evening: Evening) -> None:
    for number in range(3):
        evening.enter("eve", verse(number))
    check_all(evening)
    greedy = evening.enter("eve", verse(3))
    evening.now += 1
    honest = evening.enter("ann", verse(4))
    assert check_all(evening) == [honest, greedy]


def test_a_dear_bundle_waits_for_cheap_ones_but_not_for_ever(evening: Evening) -> None:
    dear = evening.enter("eve", dear_verse(1))
    evening.now += 1
    evening.enter("ann", verse(1))
    assert by_name(evening)["ann"].place == 1
    check(evening, lease(evening, quick=True))
    assert lease(evening, quick=True) is None and by_name(evening)["ann"].state == "verified"
    evening.now += 30 * estimate_cost(claim_of(dear_verse(1))).seconds + 1
    later = evening.enter("bob", verse(2))
    assert [job.entry for job in (lease(evening), lease(evening)) if job] == [dear, later]


def test_known_bytes_are_not_checked_again_whoever_enters_them(evening: Evening) -> None:
    for data, state in ((verse(1), "verified"), (forged_verse(3), "refused")):
        evening.enter("eve", data)
        assert len(check_all(evening)) == 1
        evening.enter("ann", data)
        assert check_all(evening) == []
        mine, other = (entry for entry in queries.list_entries(evening.db) if entry.text == claim_of(data).text)
        assert mine.state == other.state == state and mine.reason == other.reason


def test_an_entry_withdrawn_and_claimed_again_is_not_checked_again(evening: Evening) -> None:
    owner, entry = Trainer(evening, secret_of("eve")), evening.enter("eve", verse(1))
    assert check_all(evening) == [entry]
    for _ in range(10):
        assert owner.client.delete(f"/api/v1/entries/{entry}", headers=owner.headers).json["state"] == "withdrawn"
        assert owner.claim(verse(1)).json["state"] == "verified"
    assert check_all(evening) == []


def test_equal_bundles_that_wait_together_are_checked_once(evening: Evening) -> None:
    names = ["ann", "bob", "eve"]
    for name in names:
        evening.enter(name, undecided_verse())
    evening.enter("carl", verse(1))
    jobs = [lease(evening), lease(evening)]
    assert lease(evening) is None, "the other two wait for the verdict on their bytes"
    for job in jobs:
        check(evening, job)
    entries = by_name(evening)
    assert {entries[name].state for name in names} == {"refused"} and entries["carl"].state == "verified"


def test_a_check_that_could_not_be_done_says_nothing_about_equal_bytes(evening: Evening) -> None:
    for name in ("ann", "bob"):
        evening.enter(name, verse(1))
    job = lease(evening)
    assert job and record_verdict(evening.db, job, Report("ERROR", code="crash", reason="x"), now=evening.now)
    assert len(check_all(evening)) == 1
    assert states(evening) == ["verified"] * 2


def test_verses_that_cost_more_than_the_event_allows_are_refused_with_the_number(evening: Evening) -> None:
    owner, data = Trainer(evening, secret_of("eve")), dear_verse(1, LARGEST)
    cost = estimate_cost(claim_of(data))
    set_rules(evening.db, check_seconds=600.0, now=evening.now)
    refused = owner.claim(data)
    assert refused.status_code == 422 and refused.json["error"] == "over-limits"
    assert f"takes {cost.memory // MIB:,} MiB" in refused.json["message"] and "1,280" in refused.json["message"]
    set_rules(evening.db, check_memory=4 * 2**30, check_seconds=10.0, now=evening.now)
    message = owner.claim(data).json["message"]
    assert f"takes about {cost.seconds:,.0f} seconds" in message and "allows 10" in message
    set_rules(evening.db, check_seconds=cost.seconds, now=evening.now)
    assert owner.claim(data).status_code == 201


def test_the_presets_of_the_trainer_are_within_the_default_limits() -> None:
    claim, rules = claim_of(verse(1)), EventRules()
    for layers, heads, width, block in ((2, 2, 128, 256), (4, 4, 128, 256), (6, 6, 384, 256), (12, 12, 768, 512)):
        for arch in ("modern", "gpt2"):
            config = ModelConfig(arch, layers, heads, width, block, 65)
            cost = estimate_cost(replace(claim, config=config, ids=(0,) * 400))
            assert cost.seconds <= rules.check_seconds / 4 and cost.memory <= rules.check_memory


def test_checks_of_all_workers_share_one_memory_budget(evening: Evening) -> None:
    for number in range(7):
        evening.enter(f"poet{number}", verse(number))
    budget = 600 * MIB  # of two checks: each may use 256 MiB
    options: dict[str, Any] = {"jobs": 4, "memory": budget, "clock": lambda: evening.now, "check": hold}
    workers = [Worker(evening.db, evening.bundles, name=name, **options) for name in ("one", "two")]
    for worker in workers:
        worker.step()
    assert states(evening).count("verifying") == 2
    for worker in workers:
        worker.stop()
        worker.run()


def test_a_check_that_needs_more_than_the_budget_runs_alone(evening: Evening) -> None:
    evening.enter("ann", verse(1))
    evening.enter("bob", verse(2))
    first = lease(evening, memory=1)
    assert first and lease(evening, memory=1) is None
    check(evening, first)
    assert lease(evening, memory=1)


def test_a_check_that_was_called_quick_and_is_not_makes_room_and_ends_among_the_dear_ones(evening: Evening) -> None:
    slow = evening.enter("eve", verse(1))
    options: dict[str, Any] = {"jobs": 2, "clock": lambda: evening.now, "check": stubborn}
    worker = Worker(evening.db, evening.bundles, name="one", **options)
    worker.step()
    assert states(evening) == ["verifying"]
    evening.now += OVERRUN_SECONDS + 1
    worker.step()
    assert within(10, lambda: worker.step() or states(evening) != ["verifying"] or by_name(evening)["eve"].attempt == 2)
    worker.stop()
    worker.run()
    evening.now += 1
    honest = evening.enter("ann", verse(2))
    assert lease(evening, quick=True).entry == honest  # type: ignore[union-attr]
    assert lease(evening, quick=True) is None and lease(evening).entry == slow  # type: ignore[union-attr]


def stubborn(_: Path, cancelled: threading.Event) -> Report:
    cancelled.wait(20)
    raise Cancelled


@pytest.mark.slow
def test_twenty_owners_with_dear_bundles_do_not_keep_an_honest_one_waiting(tmp_path: Path) -> None:
    """Real checks, on two places; the twenty would take two minutes."""
    evening = Evening(tmp_path / "real", now=None).begin(LONG)
    assert estimate_cost(claim_of(dear_verse(1))).seconds > QUICK_SECONDS
    for number in range(20):
        evening.enter(f"eve{number}", dear_verse(number))
    worker = Worker(evening.db, evening.bundles, name="one", jobs=2)
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        assert within(20, lambda: "verifying" in states(evening))
        evening.enter("ann", verse(1))
        assert within(30, lambda: by_name(evening)["ann"].state == "verified")
        assert states(evening).count("waiting") >= 15
    finally:
        worker.stop()
        thread.join()
        evening.end()


def test_claims_withdrawals_and_checks_that_race_leave_one_verdict(evening: Evening) -> None:
    owner, stop = Trainer(evening, secret_of("ann")), threading.Event()
    entry = evening.enter("ann", verse(1))

    def work() -> None:
        while not stop.is_set():
            if job := lease(evening):
                report = check_bundle(evening.bundles.local_copy(job.bundle).read_bytes())
                record_verdict(evening.db, job, report, now=evening.now)

    with ThreadPoolExecutor(2) as pool:
        working = [pool.submit(work) for _ in range(2)]
        for _ in range(20):
            owner.client.delete(f"/api/v1/entries/{entry}", headers=owner.headers)
            assert owner.claim(verse(1)).json["state"] in ("waiting", "verifying", "verified")
        stop.set()
        for each in working:
            each.result()
    check_all(evening)
    assert states(evening) == ["verified"]
