"""The written plan of a run: how many updates, and when to evaluate. Whoever repeats or resumes a run follows it.

A budget in minutes becomes a number of steps before the first one. Where the clock later disagrees, the rest is
planned again, and that revision is written down before it takes effect. So the plan alone, never the clock, decides the
weights.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from trainer.config import MAX_STEPS
from trainer.errors import PlanError
from trainer.schedule import steps_for, work
from trainer.verse import strictjson
from trainer.verse.files import write_atomically

FORMAT = 1
EVALUATION_SHARE = 0.1  # of the time, at most
MAX_EVALUATIONS = 20  # enough points for a curve
RECORDS = 100  # of the training loss in a run, and looks at the clock
LEAST_INTERVAL = 50  # updates between two evaluations, where steps were asked for
TOLERANCE = 0.05  # of the time left: a clock that disagrees by more is heeded
LEAST_CORRECTION = 0.01  # of the whole budget: less is noise


@dataclass(frozen=True)
class Revision:
    """What holds from one step on, until the next revision."""

    at_step: int  # updates done when it takes effect
    steps: int  # updates of the whole run
    evaluations: int  # of the whole run, at most, evenly spread, the last at its end

    @property
    def part(self) -> int:
        """Updates between two evaluations."""
        return -(-self.steps // self.evaluations)


@dataclass(frozen=True)
class Plan:
    """The revisions of a run, the first at step 0.

    Raises `PlanError` when made with revisions that cannot follow each other.
    """

    revisions: tuple[Revision, ...]

    def __post_init__(self) -> None:
        before: Revision | None = None
        for revision in self.revisions:
            if not all(type(value) is int for value in asdict(revision).values()):
                raise PlanError("the plan's steps must be whole numbers")
            if not (0 <= revision.at_step < revision.steps <= MAX_STEPS and revision.evaluations >= 1):
                raise PlanError(f"the plan holds a revision that makes no sense: {revision}")
            if before and not before.at_step < revision.at_step < before.steps:
                raise PlanError(f"the plan's revision at step {revision.at_step} comes at the wrong time")
            before = revision
        if not self.revisions or self.revisions[0].at_step != 0:
            raise PlanError("a plan must begin at step 0")

    @property
    def steps(self) -> int:
        """Updates of the whole run, as far as is known now."""
        return self.revisions[-1].steps

    def in_force(self, step: int) -> Revision:
        """The revision that decides what follows `step` updates."""
        return [revision for revision in self.revisions if revision.at_step <= step][-1]

    def evaluates_at(self, step: int) -> bool:
        """Whether to evaluate after `step` updates, one or more: a part of the run after the last time, and at last.

        A revision is written after that has been decided, so the one in force before the last update decides.
        """
        revision = self.in_force(step - 1)
        return step >= self.last_evaluated(step - 1) + revision.part or step == revision.steps

    def last_evaluated(self, step: int) -> int:
        """The last of the first `step` updates, before the run's end, that an evaluation follows; 0: none.

        However often a plan is revised, so none is put off or left out.
        """
        last, revisions = 0, self.until(step)
        ends = [*(revision.at_step for revision in revisions[1:]), step]
        for revision, end in zip(revisions, ends, strict=False):
            first = max(revision.at_step + 1, last + revision.part)
            if first <= end:
                last = first + (end - first) // revision.part * revision.part
        return last

    def records_at(self, step: int) -> bool:
        """Whether to record the training loss after `step` updates: now and then, and with each evaluation."""
        return step % max(1, self.in_force(step - 1).steps // RECORDS) == 0 or self.evaluates_at(step)

    def ends_at(self, step: int) -> bool:
        """Whether `step` updates are all."""
        return step >= self.in_force(step).steps

    def until(self, step: int) -> tuple[Revision, ...]:
        """The revisions that decided the first `step` updates."""
        return tuple(revision for revision in self.revisions if revision.at_step < step)

    def with_revision(self, revision: Revision) -> Plan:
        """The same plan, changed from `revision.at_step` on: what was to hold later is forgotten."""
        return Plan((*self.until(revision.at_step), revision))

    def to_dict(self) -> dict[str, Any]:
        """Plain data, as plan.json holds it."""
        return {"format": FORMAT, "revisions": [asdict(revision) for revision in self.revisions]}

    @classmethod
    def from_dict(cls, data: object) -> Plan:
        """Read what `to_dict` wrote.

        Raises:
            PlanError: anything else.
        """
        match data:
            case {"format": 1, "revisions": list(revisions), **rest} if not rest:
                keys = set(Revision.__dataclass_fields__)
                if all(isinstance(revision, dict) and set(revision) == keys for revision in revisions):
                    return cls(tuple(Revision(**revision) for revision in revisions))
        raise PlanError("this is no plan: it must be a plan.json as `trainer train` writes it")


def write_plan(path: Path, plan: Plan) -> None:
    """Write plan.json, whole or not at all."""
    write_atomically(path, strictjson.dump(plan.to_dict()), b"\n")


def read_plan(path: Path) -> Plan:
    """Read plan.json, given itself or by its run's folder.

    Raises:
        PlanError: it is missing, or no plan.
    """
    path = path / "plan.json" if path.is_dir() else path
    try:
        return Plan.from_dict(strictjson.parse(path.read_bytes()))
    except FileNotFoundError:
        raise PlanError(f"there is no plan at {path}: give a run's folder, or its plan.json") from None
    except ValueError as error:
        raise PlanError(f"{path} is damaged: {error}") from None


def plan_steps(steps: int) -> Plan:
    """A plan of so many updates, evaluated at most twenty times, with at least fifty updates between."""
    return Plan((Revision(0, steps, max(1, min(MAX_EVALUATIONS, steps // LEAST_INTERVAL))),))


def affordable(seconds: float, eval_seconds: float) -> int:
    """How many evaluations may be made in a time."""
    return max(1, int(EVALUATION_SHARE * seconds / max(1e-9, eval_seconds)))  # a coarse clock may see no time pass


def fit(
    seconds: float, step_seconds: float, evaluations: int, eval_seconds: float, ease: float = 1.0, at_step: int = 0
) -> int:
    """Updates of a run that has so much time after its first `at_step`.

    Args:
        step_seconds: of an update with the whole context.
        evaluations: still to come.
        ease: of an update with the short context, as a share of one with the whole.

    >>> fit(100, 0.1, 10, 1)
    900
    """
    left = max(0.0, seconds - evaluations * eval_seconds) / step_seconds
    return min(MAX_STEPS, max(at_step + 1, int(steps_for(left, at_step, ease))))


def plan_seconds(seconds: float, step_seconds: float, eval_seconds: float, ease: float = 1.0) -> Plan:
    """As many updates as fit into a time, evaluated at most twenty times. The arguments are those of `fit`."""
    evaluations = min(MAX_EVALUATIONS, affordable(seconds, eval_seconds))
    return Plan((Revision(0, fit(seconds, step_seconds, evaluations, eval_seconds, ease), evaluations),))


def replan(
    plan: Plan,
    step: int,
    seconds_left: float,
    budget: float,
    step_seconds: float,
    eval_seconds: float,
    ease: float = 1.0,
) -> Plan:
    """A plan that fits the rest into the time that is left; the same one where it still does.

    Args:
        plan: what holds so far.
        step: updates done; after an evaluation that is due then.
        seconds_left: until the budget is spent.
        budget: all of it, in seconds.
        step_seconds, eval_seconds: how long one takes, measured on the way.
        ease: as for `fit`.
    """
    now, most = plan.in_force(step - 1), plan.revisions[0].evaluations
    due = now.evaluations - now.evaluations * step // now.steps
    needed = work(step, now.steps, ease) * step_seconds + due * eval_seconds
    if abs(needed - seconds_left) <= max(TOLERANCE * seconds_left, LEAST_CORRECTION * budget):
        return plan
    wanted = most - most * step // now.steps
    left = min(wanted, affordable(seconds_left, eval_seconds))
    steps = fit(seconds_left, step_seconds, left, eval_seconds, ease, step)
    if steps == now.steps:
        return plan
    return plan.with_revision(Revision(step, steps, max(1, most * left // wanted)))
