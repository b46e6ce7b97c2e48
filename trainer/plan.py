"""The written plan of a run: how many updates, and when to evaluate. Resuming or repeating a run follows it.

A budget in minutes becomes a number of steps before the first step. If the clock later disagrees, the rest is planned
again, and that revision is written before it takes effect. So the plan alone decides the weights, and the clock does
not.

A finished run can be trained further. That is a new round: the schedules begin again, and steps are counted on. In the
plan, a revision that takes effect at the end of a round begins the next one.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

from trainer.config import MAX_STEPS, MAX_THREADS
from trainer.errors import PlanError
from trainer.schedule import FULL_CONTEXT, StageCosts, remaining_work, total_steps
from trainer.verse import strictjson
from trainer.verse.files import write_atomically

FORMAT = 1
EVALUATION_SHARE = 0.06  # of the time, at most
FEW_EVALUATIONS = 3  # make a curve of a short run, in the race of an event, too
FEW_EVALUATIONS_SHARE = 0.1  # of the time, at most, for up to so many
MAX_EVALUATIONS = 20  # enough points for a curve
RECORDS = 100  # of the training loss in a run; the clock is read as often
MIN_INTERVAL = 50  # updates between two evaluations of a run given in steps
TOLERANCE = 0.05  # of the time left: a smaller error of the plan is ignored
MIN_CORRECTION = 0.01  # of the whole budget: a smaller error is noise


@dataclass(frozen=True)
class Revision:
    """What holds from one step on, until the next revision."""

    at_step: int  # updates done when it takes effect
    steps: int  # updates of the run, up to the end of this round
    evaluations: int  # of the whole round, at most; evenly spaced, the last one at its end
    threads: int = 0  # CPU threads, where the run changed their number; 0: as the config says

    def interval(self, start: int) -> int:
        """Return the updates between two evaluations, in a round that began after `start` updates."""
        return -(-(self.steps - start) // self.evaluations)

    def last_between(self, start: int) -> int:
        """Return the last update that an evaluation may follow, besides the end: a third of an interval before it."""
        return self.steps - -(-self.interval(start) // 3)


@dataclass(frozen=True)
class Plan:
    """The revisions of a run, the first at step 0.

    >>> plan = Plan((Revision(0, 100, 4), Revision(60, 90, 4), Revision(90, 120, 2)))
    >>> plan.round_starts, plan.steps
    ((0, 90), 120)

    Raises:
        PlanError: The revisions cannot follow each other.
    """

    revisions: tuple[Revision, ...]

    def __post_init__(self) -> None:
        previous: Revision | None = None
        for revision in self.revisions:
            if not all(type(value) is int for value in asdict(revision).values()):
                raise PlanError("the plan's steps must be whole numbers")
            possible = revision.evaluations >= 1 and 0 <= revision.threads <= MAX_THREADS
            if not (0 <= revision.at_step < revision.steps <= MAX_STEPS and possible):
                raise PlanError(f"the plan holds an impossible revision: {revision}")
            if previous and not previous.at_step < revision.at_step <= previous.steps:
                raise PlanError(f"the plan's revision at step {revision.at_step} does not follow the one before it")
            previous = revision
        if not self.revisions or self.revisions[0].at_step != 0:
            raise PlanError("a plan must begin at step 0")

    @property
    def steps(self) -> int:
        """Updates of the whole run, by the latest revision."""
        return self.revisions[-1].steps

    @cached_property
    def round_starts(self) -> tuple[int, ...]:
        """Updates done when each round begins."""
        pairs = pairwise(self.revisions)
        return (0, *(revision.at_step for previous, revision in pairs if revision.at_step == previous.steps))

    def round_start(self, step: int) -> int:
        """Return the updates done when the round began that update number `step`, counted from 0, belongs to."""
        return max(start for start in self.round_starts if start <= step)

    def in_round(self, step: int) -> tuple[int, int]:
        """Return how many updates of its round came before update number `step`, and how many the round has."""
        start = self.round_start(step)
        return step - start, self.revision_at(step).steps - start

    def revision_at(self, step: int) -> Revision:
        """Return the revision that holds after `step` updates."""
        return [revision for revision in self.revisions if revision.at_step <= step][-1]

    def evaluates_at(self, step: int) -> bool:
        """Whether an evaluation follows update number `step`, counted from 1.

        It does one interval after the last evaluation, unless the end is near, and at the end. A revision written after
        this update does not count: the one that was in effect during the update decides.
        """
        revision, start = self.revision_at(step - 1), self.round_start(step - 1)
        is_due = step >= self.last_evaluation(step - 1) + revision.interval(start)
        return (is_due and step <= revision.last_between(start)) or step == revision.steps

    def last_evaluation(self, step: int) -> int:
        """Return the last update, at most `step` and before the round's end, that an evaluation follows.

        If there is none in the round, it is the round's start. Revisions put an evaluation off only near the end.
        """
        last = start = self.round_start(step)
        revisions = [revision for revision in self.revisions_until(step) if revision.at_step >= start]
        ends = [*(revision.at_step for revision in revisions[1:]), step]
        for revision, end in zip(revisions, ends, strict=False):
            interval = revision.interval(start)
            first, latest = max(revision.at_step + 1, last + interval), min(end, revision.last_between(start))
            if first <= latest:
                last = first + (latest - first) // interval * interval
        return last

    def records_at(self, step: int) -> bool:
        """Whether the training loss is recorded after `step` updates: at regular steps and at each evaluation."""
        done, steps = self.in_round(step - 1)
        return (done + 1) % max(1, steps // RECORDS) == 0 or self.evaluates_at(step)

    def ends_at(self, step: int) -> bool:
        """Whether the run is complete after `step` updates."""
        return step >= self.revision_at(step).steps

    def revisions_until(self, step: int) -> tuple[Revision, ...]:
        """Return the revisions that decided the first `step` updates."""
        return tuple(revision for revision in self.revisions if revision.at_step < step)

    def with_revision(self, revision: Revision) -> Plan:
        """Return this plan, changed from `revision.at_step` on; later revisions are dropped."""
        return Plan((*self.revisions_until(revision.at_step), revision))

    def with_threads(self, step: int, threads: int) -> Plan:
        """Return this plan with another number of CPU threads from `step` on."""
        return self.with_revision(replace(self.revision_at(step), at_step=step, threads=threads))

    def with_round(self, plan: Plan) -> Plan:
        """Return this plan with another one after its end.

        Raises:
            PlanError: Together they have too many updates.
        """
        end = self.steps
        if end + plan.steps > MAX_STEPS:
            raise PlanError(f"a run has at most {MAX_STEPS:,} steps, and this one has {end:,} already: give fewer")
        later = (replace(one, at_step=end + one.at_step, steps=end + one.steps) for one in plan.revisions)
        return Plan((*self.revisions, *later))

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, as plan.json holds it."""
        return {"format": FORMAT, "revisions": [asdict(revision) for revision in self.revisions]}

    @classmethod
    def from_dict(cls, data: object) -> Plan:
        """Read what `to_dict` wrote.

        Raises:
            PlanError: It is anything else.
        """
        match data:
            case {"format": 1, "revisions": list(revisions), **rest} if not rest:
                keys = set(Revision.__dataclass_fields__)
                if all(isinstance(revision, dict) and set(revision) == keys for revision in revisions):
                    return cls(tuple(Revision(**revision) for revision in revisions))
        raise PlanError("this is not a plan: it must be a plan.json as `trainer train` writes it")


def write_plan(path: Path, plan: Plan) -> None:
    """Write plan.json atomically."""
    write_atomically(path, strictjson.dump(plan.to_dict()), b"\n")


def read_plan(path: Path) -> Plan:
    """Read a plan.json, given by its own path or by its run's folder.

    Raises:
        PlanError: The file is missing or is not a plan.
    """
    path = path / "plan.json" if path.is_dir() else path
    try:
        return Plan.from_dict(strictjson.parse(path.read_bytes()))
    except FileNotFoundError:
        raise PlanError(f"there is no plan at {path}: give a run's folder, or its plan.json") from None
    except ValueError as error:
        raise PlanError(f"{path} is damaged: {error}") from None


def plan_for_steps(steps: int) -> Plan:
    """Return a plan of this many updates, with at most `MAX_EVALUATIONS` and `MIN_INTERVAL` updates between them."""
    return Plan((Revision(0, steps, max(1, min(MAX_EVALUATIONS, steps // MIN_INTERVAL))),))


def affordable_evaluations(seconds: float, eval_seconds: float) -> int:
    """Return how many evaluations fit into their share of a time, at least one.

    >>> [affordable_evaluations(seconds, 1.2) for seconds in (10, 30, 45, 100, 300)]
    [1, 2, 3, 5, 15]
    """
    fitting = seconds / max(1e-9, eval_seconds)  # a coarse clock may measure zero
    few = min(FEW_EVALUATIONS, int(FEW_EVALUATIONS_SHARE * fitting))
    return max(1, few, int(EVALUATION_SHARE * fitting))


def fitting_steps(
    seconds: float,
    step_seconds: float,
    evaluations: int,
    eval_seconds: float,
    costs: StageCosts = FULL_CONTEXT,
    at_step: int = 0,
) -> int:
    """Return the updates of a run that has this much time after its first `at_step`.

    >>> fitting_steps(100, 0.1, 10, 1)
    900

    Args:
        seconds: Time left.
        step_seconds: Time of an update with the longest context.
        evaluations: Evaluations still to come.
        eval_seconds: Time of one of them.
        costs: Of an update in each stage.
        at_step: Updates done.
    """
    work = max(0.0, seconds - evaluations * eval_seconds) / step_seconds
    return min(MAX_STEPS, max(at_step + 1, int(total_steps(work, at_step, costs))))


def plan_for_seconds(
    seconds: float, step_seconds: float, eval_seconds: float, costs: StageCosts = FULL_CONTEXT
) -> Plan:
    """Return a plan of as many updates as fit into a time, with at most `MAX_EVALUATIONS`.

    Args:
        seconds: Time for training and evaluations.
        step_seconds: Time of an update with the longest context.
        eval_seconds: Time of an evaluation.
        costs: As for `fitting_steps`.
    """
    evaluations = min(MAX_EVALUATIONS, affordable_evaluations(seconds, eval_seconds))
    steps = fitting_steps(seconds, step_seconds, evaluations, eval_seconds, costs)
    return Plan((Revision(0, steps, evaluations),))


def replan(
    plan: Plan,
    step: int,
    seconds_left: float,
    budget: float,
    step_seconds: float,
    eval_seconds: float,
    costs: StageCosts = FULL_CONTEXT,
) -> Plan:
    """Return a plan that fits the rest of a round into the time left, or the same plan if it still fits.

    Args:
        plan: The plan so far.
        step: Updates done; an evaluation due after them is done, too.
        seconds_left: Time until the budget is used up.
        budget: The whole budget, in seconds.
        step_seconds: Measured time of an update with the longest context.
        eval_seconds: Measured time of an evaluation.
        costs: As for `fitting_steps`.
    """
    start = plan.round_start(step - 1)
    revision, initial = plan.revision_at(step - 1), plan.revision_at(start).evaluations
    done, length = step - start, revision.steps - start  # updates of this round
    due = revision.evaluations - revision.evaluations * done // length
    needed = remaining_work(done, length, costs) * step_seconds + due * eval_seconds
    if abs(needed - seconds_left) <= max(TOLERANCE * seconds_left, MIN_CORRECTION * budget):
        return plan
    wanted = initial - initial * done // length
    evaluations = min(wanted, affordable_evaluations(seconds_left, eval_seconds))
    steps = start + fitting_steps(seconds_left, step_seconds, evaluations, eval_seconds, costs, done)
    steps = min(MAX_STEPS, steps)
    if steps == revision.steps:
        return plan
    return plan.with_revision(Revision(step, steps, max(1, initial * evaluations // wanted), revision.threads))
