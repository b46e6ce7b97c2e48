"""How long a step and an evaluation take here: measured before a run is planned, and watched while it goes on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from trainer.config import TrainConfig
from trainer.lesson import Lesson
from trainer.loss import batch, validation_loss
from trainer.model import new_model, weights_of
from trainer.optim import make_optimizers, update
from trainer.plan import Plan, plan_seconds, replan
from trainer.writer import sample

STEPS_SHARE = 0.02  # of the budget, spent on measuring steps
EVALUATION_SHARE = 0.01  # and on a part of an evaluation
WARM_UP = 2  # steps that load kernels and fill caches
MEASURED_WINDOWS = 64  # sequences of the first guess at an evaluation
CLOSING_SECONDS = 2.0  # after the last evaluation: the curve is drawn, the process ends

Clock = Callable[[], float]  # seconds from any fixed moment


@dataclass(frozen=True)
class Pace:
    """What one of each costs."""

    step_seconds: float
    eval_seconds: float


class Budget:
    """The time a run was given, and how it is spent."""

    def __init__(self, minutes: float, started: float, clock: Clock) -> None:
        self.seconds = max(0.0, 60 * minutes - CLOSING_SECONDS)
        self.started, self.clock = started, clock
        self._since = (0, started, 0.0)  # the revision in force: its step, when it began, evaluations since

    def first_plan(self, pace: Pace) -> Plan:
        """As many steps as fit into what is left now."""
        now = self.clock()
        self._since = (0, now, 0.0)
        return Plan((plan_seconds(self.left(now), pace.step_seconds, pace.eval_seconds),))

    def left(self, now: float) -> float:
        """Seconds until training must end."""
        return self.seconds - (now - self.started)

    def revise(self, plan: Plan, step: int, began: float, ended: float) -> Plan:
        """After an evaluation between two readings of the clock: the same plan, or one revised from this step on."""
        at_step, since, evaluating = self._since
        evaluating += ended - began
        step_seconds = (ended - since - evaluating) / (step - at_step)
        revision = replan(plan, step, self.left(ended), self.seconds, step_seconds, ended - began)
        self._since = (at_step, since, evaluating) if revision is None else (step, ended, 0.0)
        return plan if revision is None else plan.with_revision(revision)


def measure(config: TrainConfig, lesson: Lesson, budget: Budget) -> Pace:
    """Time some steps, a part of an evaluation and a sample, with a model and an optimizer that are thrown away."""
    model = new_model(lesson.model, lesson.key, config.dropout, config.precision).to(lesson.device)
    optimizers = make_optimizers(model, config)
    done = 0

    def take(count: int) -> float:
        nonlocal done
        began = budget.clock()
        for _ in range(count):
            x, y = batch(lesson.train, lesson.key, done, config.batch_size, config.block_size)
            done += 1
            loss = update(model, optimizers, x, y, 0.0, config.grad_clip, done)
        loss.item()  # waits until the device has done it all
        return budget.clock() - began

    take(WARM_UP)
    count, seconds, spent = 1, take(1), 0.0
    while spent + 2 * seconds < STEPS_SHARE * budget.seconds:  # twice as many, until the share is used
        count *= 2
        seconds = take(count)
        spent += seconds
    step_seconds = seconds / count

    tokens = len(lesson.val)
    part = min(tokens, MEASURED_WINDOWS * config.block_size + 1)
    while True:
        began = budget.clock()
        validation_loss(model, lesson.val[:part], config.block_size, lesson.model.vocab_size)
        seconds = budget.clock() - began
        if part == tokens or 4 * seconds > EVALUATION_SHARE * budget.seconds:
            break
        part = min(tokens, 4 * part)
    eval_seconds = seconds * tokens / part
    began = budget.clock()
    sample(lesson.checkpoint(weights_of(model)), config.seed)
    return Pace(step_seconds, eval_seconds + budget.clock() - began)
