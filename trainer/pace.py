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
from trainer.together import Team
from trainer.writer import sample

STEPS_SHARE = 0.02  # of the budget, spent on measuring steps
EVALUATION_SHARE = 0.01  # and on a part of an evaluation
WARM_UP = 2  # steps that load kernels and fill caches
MEASURED_WINDOWS = 64  # sequences of the first guess at an evaluation
LEAST_WATCH = 0.02  # of the budget: over less, the speed of steps is a guess
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
        self.eval_seconds = 0.0  # of one evaluation, as far as is known
        self._since = (0, started)  # a step, and when the updates after it would have begun without any evaluation

    def first_plan(self, pace: Pace) -> Plan:
        """As many steps as fit into what is left now."""
        now = self.clock()
        self.eval_seconds = pace.eval_seconds
        self._since = (0, now)
        return Plan((plan_seconds(self.left(now), pace.step_seconds, pace.eval_seconds),))

    def left(self, now: float) -> float:
        """Seconds until training must end."""
        return self.seconds - (now - self.started)

    def revise(self, plan: Plan, step: int, now: float, evaluated: float = 0.0) -> Plan:
        """The same plan, or one revised from this step on, where the clock disagrees with it.

        Args:
            plan: what holds so far.
            step: updates done.
            now: the clock.
            evaluated: seconds that an evaluation has just taken, if there was one.
        """
        at_step, since = self._since
        since += evaluated
        self._since = (at_step, since)
        if evaluated:
            self.eval_seconds = evaluated
        elif now - since < LEAST_WATCH * self.seconds:
            return plan  # too few steps to judge by
        revision = replan(plan, step, self.left(now), self.seconds, (now - since) / (step - at_step), self.eval_seconds)
        if revision is None:
            return plan
        self._since = (step, now)
        return plan.with_revision(revision)


def measure(config: TrainConfig, lesson: Lesson, budget: Budget, team: Team) -> Pace:
    """Time some steps, a part of an evaluation and a sample, with a model and an optimizer that are thrown away."""
    model = new_model(lesson.model, lesson.key, config.dropout, config.precision).to(lesson.device)
    parallel, optimizers = team.wrap(model), make_optimizers(model, config)
    done = 0

    def take(count: int) -> float:
        nonlocal done
        began = budget.clock()
        for _ in range(count):
            x, y = batch(lesson.train, lesson.key, done, config.batch_size, config.block_size)
            done += 1
            loss = update(parallel, optimizers, team.share(x), team.share(y), 0.0, config.grad_clip, done)
        loss.item()  # waits until the device has done it all
        return team.agree(budget.clock() - began)

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
        seconds = team.agree(budget.clock() - began)
        if part == tokens or 4 * seconds > EVALUATION_SHARE * budget.seconds:
            break
        part = min(tokens, 4 * part)
    eval_seconds = seconds * tokens / part
    began = budget.clock()
    sample(lesson.checkpoint(weights_of(model)), config.seed)
    return Pace(step_seconds, eval_seconds + budget.clock() - began)
