"""How long a step and an evaluation take here: measured before a run is planned, and watched while it goes on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from trainer.config import TrainConfig
from trainer.dataset import Lesson
from trainer.errors import OptionError
from trainer.loss import batch, validation_loss
from trainer.model import new_model
from trainer.optim import make_optimizers, update
from trainer.plan import Plan, plan_seconds, replan
from trainer.runtime.distributed import ALONE, Team
from trainer.schedule import work

STEPS_SHARE = 0.01  # of the budget, spent on measuring steps of each context
PART_SHARE = 0.01  # and on a part of an evaluation
WARM_UP = 2  # steps that load kernels and fill caches
MEASURED_WINDOWS = 64  # sequences of the first guess at an evaluation
LEAST_WATCH = 0.05  # of the budget: over less, the speed of steps is a guess
LATE = 10.0  # seconds: a run that would end later than this after its time is refused
CLOSING_SECONDS = 1.1  # not for training: Python starts, the curve is drawn, the process ends

Clock = Callable[[], float]  # seconds from any fixed moment


@dataclass(frozen=True)
class Pace:
    """What one of each costs."""

    step_seconds: float  # an update with the whole context
    ease: float  # an update with the short context, as a share of that
    eval_seconds: float


@dataclass(frozen=True)
class Look:
    """What the clock showed at one moment of a run."""

    step: int  # updates done
    work: float  # done by them, in updates with the whole context
    seconds: float  # that they took, without evaluations


class Budget:
    """The time a run was given, and how it is spent."""

    def __init__(self, minutes: float, started: float, clock: Clock) -> None:
        self.seconds = max(0.0, 60 * minutes - CLOSING_SECONDS)
        self.started, self.clock = started, clock
        self.eval_seconds, self.ease = 0.0, 1.0  # as far as is known
        self._looks = [Look(0, 0.0, 0.0)]
        self._trained_from, self._evaluating = started, 0.0  # since when, and for how many seconds of that time not

    def first_plan(self, pace: Pace, team: Team = ALONE) -> Plan:
        """As many steps as fit into what is left now, by the clock of the team's leader.

        Raises:
            OptionError: not even one does.
        """
        now = self.clock()
        left = team.agree(self.left(now))
        self.check(left - pace.step_seconds - pace.eval_seconds)
        self.eval_seconds, self.ease = pace.eval_seconds, pace.ease
        self._trained_from = now
        return plan_seconds(left, pace.step_seconds, pace.eval_seconds, pace.ease)

    def check(self, left: float) -> None:
        """Whether the time can be kept, more or less, if so many seconds will be left.

        Raises:
            OptionError: it cannot.
        """
        if left < -LATE:
            raise OptionError(
                f"the time is too short for this model here: a step and an evaluation would end {-left:,.0f} seconds "
                "after it. Give more --minutes, or a smaller --preset"
            )

    def left(self, now: float) -> float:
        """Seconds until training must end."""
        return self.seconds - (now - self.started)

    def revise(self, plan: Plan, step: int, now: float, evaluated: float = 0.0) -> Plan:
        """The same plan, or one revised from this step on, where the clock disagrees with it.

        How fast steps are is judged by the second half of them: the first may have been under other circumstances, and
        fewer would make the plan follow every moment's noise.

        Args:
            plan: what holds so far.
            step: updates done.
            now: the clock.
            evaluated: seconds that an evaluation has just taken, if there was one.
        """
        if evaluated:
            self.eval_seconds = evaluated
            self._evaluating += evaluated
        steps, last = plan.in_force(step - 1).steps, self._looks[-1]
        done = work(last.step, steps, self.ease) - work(step, steps, self.ease)
        look = Look(step, last.work + done, max(0.0, now - self._trained_from - self._evaluating))
        self._looks.append(look)
        since = [before for before in self._looks if before.seconds <= look.seconds / 2][-1]
        if look.seconds - since.seconds < LEAST_WATCH * self.seconds:
            return plan  # too few steps to judge by
        step_seconds = (look.seconds - since.seconds) / (look.work - since.work)
        return replan(plan, step, self.left(now), self.seconds, step_seconds, self.eval_seconds, self.ease)


def measure(config: TrainConfig, lesson: Lesson, budget: Budget, team: Team) -> Pace:
    """Time some steps and a part of an evaluation, with a model and optimizers that are thrown away."""
    model = new_model(lesson.model, lesson.key, config.dropout, config.precision).to(lesson.device)
    parallel, optimizers = team.wrap(model), make_optimizers(model, config)

    def take(count: int, context: int) -> float:
        began = budget.clock()
        for number in range(1, count + 1):
            x, y = batch(lesson.train, lesson.key, number, config.batch_size, config.block_size, context)
            loss = update(parallel, optimizers, team.share(x), team.share(y), 0.0, config.grad_clip, number)
        loss.item()  # waits until the device has done it all
        now = budget.clock()
        seconds, left = team.agree((now - began, budget.left(now)))
        budget.check(left)
        return seconds

    def seconds_a_step(context: int) -> float:
        take(WARM_UP, context)
        count, seconds, spent = 1, take(1, context), 0.0
        while spent + 2 * seconds < STEPS_SHARE * budget.seconds:  # twice as many, until the share is used
            count *= 2
            seconds = take(count, context)
            spent += seconds
        return seconds / count

    step_seconds = seconds_a_step(config.block_size)
    ease = 1.0
    if config.short_context:
        ease = seconds_a_step(config.short_context) / step_seconds

    tokens = len(lesson.val)
    part = min(tokens, MEASURED_WINDOWS * config.block_size + 1)
    while True:
        began = budget.clock()
        validation_loss(model, lesson.val[:part], config.block_size, lesson.model.vocab_size)
        seconds = team.agree(budget.clock() - began)
        if part == tokens or 4 * seconds > PART_SHARE * budget.seconds:
            break
        part = min(tokens, 4 * part)
    eval_seconds = seconds * tokens / part
    return Pace(step_seconds, ease, eval_seconds)
