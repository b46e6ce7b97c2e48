"""The written plan: what follows from it, and from nothing else."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.errors import PlanError
from trainer.plan import (
    EVALUATION_SHARE,
    FEW_EVALUATIONS,
    FEW_EVALUATIONS_SHARE,
    MAX_EVALUATIONS,
    RECORDS,
    Plan,
    Revision,
    plan_for_seconds,
    plan_for_steps,
    read_plan,
    replan,
    write_plan,
)

REVISED = Plan((Revision(0, 100, 4), Revision(60, 90, 4)))


def test_a_revision_holds_from_its_step_on() -> None:
    assert [REVISED.revision_at(step).steps for step in (0, 59, 60, 90)] == [100, 100, 90, 90]
    assert [step for step in range(1, 91) if REVISED.evaluates_at(step)] == [25, 50, 73, 90]
    assert [step for step in range(101) if REVISED.ends_at(step)] == list(range(90, 101))
    assert REVISED.steps == 90


def test_no_evaluation_comes_shortly_before_the_last_one() -> None:
    plan = Plan((Revision(0, 1116, 3), Revision(372, 1147, 3)))
    assert [step for step in range(1, 1148) if plan.evaluates_at(step)] == [372, 755, 1147]
    longer = plan.with_revision(Revision(1140, 1600, 3))
    assert [step for step in range(1, 1601) if longer.evaluates_at(step)] == [372, 755, 1289, 1600]


@given(st.lists(st.tuples(st.integers(1, 60), st.integers(700, 1400)), max_size=30))
def test_however_a_plan_is_revised_an_evaluation_is_put_off_only_near_the_end(changes: list[tuple[int, int]]) -> None:
    plan, at_step = Plan((Revision(0, 1000, 20),)), 0
    for later, steps in changes:
        at_step += later
        if at_step < min(plan.steps, steps):
            plan = plan.with_revision(Revision(at_step, steps, 20))
    evaluated = [step for step in range(1, plan.steps + 1) if plan.evaluates_at(step)]
    gaps = [after - before for before, after in pairwise([0, *evaluated])]
    assert min(gaps[:-1], default=35) >= 700 / 20
    for before, after in pairwise([0, *evaluated]):
        for step in range(before + 1, after):
            revision = plan.revision_at(step - 1)
            assert step - before < revision.interval(0) or revision.steps - step < revision.interval(0) / 3
    assert evaluated[-1] == plan.steps
    assert [plan.last_evaluation(step) for step in evaluated[:-1]] == evaluated[:-1]


def test_a_new_revision_removes_the_later_ones() -> None:
    assert REVISED.with_revision(Revision(40, 41, 1)).revisions == (REVISED.revisions[0], Revision(40, 41, 1))


def test_the_revisions_until_a_step_leave_out_later_ones() -> None:
    assert REVISED.revisions_until(60) == REVISED.revisions[:1]
    assert REVISED.revisions_until(61) == REVISED.revisions
    assert REVISED.revisions_until(0) == ()


@given(st.integers(1, 10**6))
def test_a_plan_in_steps_evaluates_at_most_twenty_times_and_at_the_end(steps: int) -> None:
    plan = plan_for_steps(steps)
    assert plan.steps == steps
    assert plan.evaluates_at(steps)
    assert sum(plan.evaluates_at(step) for step in range(1, min(steps, 3000) + 1)) <= MAX_EVALUATIONS


@given(st.integers(1, 2000))
def test_losses_are_recorded_at_each_evaluation_and_some_times_between(steps: int) -> None:
    plan = plan_for_steps(steps)
    recorded = [step for step in range(1, steps + 1) if plan.records_at(step)]
    assert recorded
    assert set(recorded) >= {step for step in range(1, steps + 1) if plan.evaluates_at(step)}
    assert len(recorded) <= 2 * RECORDS + MAX_EVALUATIONS


@given(st.floats(1, 1e5), st.floats(1e-3, 1e3), st.floats(1e-3, 1e3))
def test_a_budget_is_kept_with_a_small_share_for_evaluations(
    seconds: float, step_seconds: float, eval_seconds: float
) -> None:
    (revision,) = plan_for_seconds(seconds, step_seconds, eval_seconds).revisions
    steps, evaluations = revision.steps, revision.evaluations
    assert 1 <= evaluations <= MAX_EVALUATIONS
    assert steps == 1 or steps * step_seconds + evaluations * eval_seconds <= seconds * 1.001
    share = FEW_EVALUATIONS_SHARE if evaluations <= FEW_EVALUATIONS else EVALUATION_SHARE
    assert evaluations == 1 or evaluations * eval_seconds <= share * seconds * (1 + 1e-9)


def test_a_run_of_a_minute_has_a_curve() -> None:
    """A step of 30 ms and an evaluation of 1.2 s are what two cores of a laptop take."""
    (revision,) = plan_for_seconds(45, 0.03, 1.2).revisions
    assert revision.evaluations == 3


def test_a_clock_that_agrees_within_a_twentieth_changes_nothing() -> None:
    plan = Plan((Revision(0, 1000, 10),))
    assert replan(plan, 500, 52.4, 105, step_seconds=0.1, eval_seconds=0.0) == plan
    assert replan(plan, 500, 47.7, 105, step_seconds=0.1, eval_seconds=0.0) == plan


@pytest.mark.parametrize(("step_seconds", "steps"), [(0.2, 750), (0.05, 1500)])
def test_a_clock_that_disagrees_changes_the_rest(step_seconds: float, steps: int) -> None:
    plan = Plan((Revision(0, 1000, 10),))
    revised = replan(plan, 500, 50, 100, step_seconds, eval_seconds=1e-9)
    assert revised.revisions[-1] == Revision(500, pytest.approx(steps, abs=1), 10)  # type: ignore[arg-type]
    assert revised.revision_at(499).steps == 1000


def test_evaluations_that_turn_out_slow_become_fewer() -> None:
    plan = Plan((Revision(0, 1000, 20),))
    revised = replan(plan, 500, 40, 100, step_seconds=0.1, eval_seconds=1.0)
    assert revised.revisions[-1] == Revision(500, 870, 6)  # three more: at 580, 725 and 870


def test_a_spent_budget_ends_the_run_with_the_next_step() -> None:
    revised = replan(Plan((Revision(0, 1000, 10),)), 500, -3.0, 100, 0.1, 1.0)
    assert revised.steps == 501
    assert revised.evaluates_at(501)


@pytest.mark.parametrize(
    "revisions",
    [
        (),
        (Revision(5, 10, 1),),
        (Revision(0, 0, 1),),
        (Revision(0, 10, 0),),
        (Revision(0, 10**9, 1),),
        (Revision(0, 10, 1), Revision(11, 20, 1)),
        (Revision(0, 10, 1), Revision(4, 8, 1), Revision(4, 9, 1)),
        (Revision(0, 10, 1), Revision(4, 4, 1)),
        (Revision(0, 10.0, 1),),
    ],
)
def test_a_plan_that_makes_no_sense_is_refused(revisions: tuple[Revision, ...]) -> None:
    with pytest.raises(PlanError):
        Plan(revisions)


def test_a_plan_is_read_from_its_file_or_its_run(tmp_path: Path) -> None:
    write_plan(tmp_path / "plan.json", REVISED)
    assert read_plan(tmp_path / "plan.json") == read_plan(tmp_path) == REVISED


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "damaged"),
        (b"\xff", "damaged"),
        (b"[]", "not a plan"),
        (b'{"format": 2, "revisions": []}', "not a plan"),
        (b'{"format": 1, "format": 1, "revisions": []}', "stands twice"),
        (json.dumps({"format": 1, "revisions": [{"at_step": 0, "steps": 5}]}).encode(), "not a plan"),
        (json.dumps({"format": 1, "revisions": []}).encode(), "begin at step 0"),
    ],
)
def test_a_damaged_plan_is_refused(data: bytes, says: str, tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_bytes(data)
    with pytest.raises(PlanError, match=says):
        read_plan(tmp_path)


def test_a_missing_plan_says_what_to_give(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match=r"no plan at .*plan\.json"):
        read_plan(tmp_path)
