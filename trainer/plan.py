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
    eval_interval: int  # updates between two evaluations, counted from at_step


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
            if not (0 <= revision.at_step < revision.steps <= MAX_STEPS and revision.eval_interval >= 1):
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
        """Whether to evaluate after `step` updates, at least one: at each interval and at the end.

        A revision is written after that has been decided, so the one in force before the last update decides.
        """
        revision = self.in_force(step - 1)
        return (step - revision.at_step) % revision.eval_interval == 0 or step == revision.steps

    def records_at(self, step: int) -> bool:
        """Whether to record the training loss after `step` updates: now and then, and with each evaluation."""
        revision = self.in_force(step - 1)
        interval = max(1, (revision.steps - revision.at_step) // RECORDS)
        return (step - revision.at_step) % interval == 0 or self.evaluates_at(step)

    def ends_at(self, step: int) -> bool:
        """Whether `step` updates are all."""
        return step >= self.in_force(step).steps

    def until(self, step: int) -> tuple[Revision, ...]:
        """The revisions that decided the first `step` updates."""
        return tuple(revision for revision in self.revisions if revision.at_step < step)

    def with_revision(self, revision: Revision) -> Plan:
        """The same plan, changed from `revision.at_step` on."""
        return Plan((*self.revisions, revision))

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
    """A plan of so many updates, evaluated at most twenty times, and not so often that this takes most of the time."""
    return Plan((Revision(0, steps, max(LEAST_INTERVAL, -(-steps // MAX_EVALUATIONS))),))


def plan_seconds(
    seconds: float,
    step_seconds: float,
    eval_seconds: float,
    ease: float = 1.0,
    at_step: int = 0,
    most: int = MAX_EVALUATIONS,
) -> Revision:
    """As many updates as fit into `seconds`, with up to `most` evaluations between and after them.

    Args:
        step_seconds: of an update with the whole context.
        ease: of one with the short context, as a share of that.

    >>> plan_seconds(100, step_seconds=0.1, eval_seconds=1)
    Revision(at_step=0, steps=900, eval_interval=90)
    """
    evaluations = max(1, min(most, int(EVALUATION_SHARE * seconds / eval_seconds)))
    left = max(0.0, seconds - evaluations * eval_seconds) / step_seconds
    steps = min(MAX_STEPS, max(at_step + 1, int(steps_for(left, at_step, ease))))
    return Revision(at_step, steps, -(-(steps - at_step) // evaluations))


def replan(
    plan: Plan,
    step: int,
    seconds_left: float,
    budget: float,
    step_seconds: float,
    eval_seconds: float,
    ease: float = 1.0,
) -> Revision | None:
    """A revision that fits the rest into the time that is left; None where the plan still fits.

    Args:
        plan: what holds so far.
        step: updates done; after an evaluation that is due then.
        seconds_left: until the budget is spent.
        budget: all of it, in seconds.
        step_seconds, eval_seconds: how long one takes, measured on the way.
        ease: as for `plan_seconds`.
    """
    revision = plan.in_force(step - 1)
    done, interval = step - revision.at_step, revision.eval_interval
    evaluations = -(-(revision.steps - revision.at_step) // interval) - done // interval
    needed = work(step, revision.steps, ease) * step_seconds + evaluations * eval_seconds
    if abs(needed - seconds_left) <= max(TOLERANCE * seconds_left, LEAST_CORRECTION * budget):
        return None
    new = plan_seconds(seconds_left, step_seconds, eval_seconds, ease, step, evaluations)
    return None if new.steps == revision.steps else new
