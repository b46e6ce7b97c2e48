"""The time budget of a run: measure the time of a step and an evaluation, plan with it, and revise the plan."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from trainer.config import TrainConfig
from trainer.dataset import Dataset
from trainer.errors import OptionError
from trainer.loss import get_batch, validation_loss
from trainer.model import new_model
from trainer.optim import Optimizer, make_optimizers
from trainer.plan import Plan, plan_for_seconds, replan
from trainer.runtime.clock import Clock, RunClock
from trainer.runtime.compilation import MIN_SECONDS, CompileError, compilation_line, compile_model
from trainer.runtime.distributed import SINGLE_PROCESS, Ranks
from trainer.runtime.gradients import GradientFunction, gradient_function
from trainer.schedule import FULL_CONTEXT, StageCosts, context_stages, remaining_work, stage_costs
from trainer.verse.text import sanitize

MEASURING_SHARE = 0.01  # of the budget, spent on measuring steps of each context length, and a part of an evaluation
MEASURING_SECONDS = 0.1  # the most of it: whoever watches waits for the first step, and the plan is revised later
COMPARED_STEPS = 9  # of each form of a model
WARM_UP = 1  # steps that load kernels and fill caches
MEASURED_WINDOWS = 8  # sequences of the first measured part of an evaluation
MIN_OBSERVED_SHARE = 0.05  # of the budget: steps observed for a shorter time do not tell their speed
MAX_OVERRUN = 10.0  # seconds: a run that would end later than this after its time is refused
MAX_SLEEP_SHARE = 0.5  # of the time left: a longer sleep delays the end, since too little of the training would remain
CLOSING_SECONDS = 1.1  # not for training: Python starts, the curve is drawn, the process ends


@dataclass(frozen=True)
class StepTiming:
    """How long a training step and an evaluation take."""

    step_seconds: float  # of an update with the longest context
    costs: StageCosts  # of an update in each stage
    eval_seconds: float  # of a whole evaluation
    compiled: bool = False  # whether these are the times of a compiled model


@dataclass(frozen=True)
class ClockSample:
    """Progress of a round at one moment."""

    step: int  # updates of it done
    work: float  # cost of these updates, in updates with the longest context
    seconds: float  # that they took, without evaluations


class Budget:
    """The time a run was given, and how it is used.

    Args:
        minutes: Time for all of it, from 0 of the clock on.
        clock: Started when the minutes began.
    """

    def __init__(self, minutes: float, clock: RunClock) -> None:
        self.seconds = max(0.0, 60 * minutes - CLOSING_SECONDS)
        self.clock = clock
        self.eval_seconds, self.costs = 0.0, FULL_CONTEXT  # latest measurements
        self._samples = [ClockSample(0, 0.0, 0.0)]
        self._training_started, self._evaluating = 0.0, 0.0  # since when, and seconds of it spent on evaluations

    def first_plan(self, timing: StepTiming, ranks: Ranks = SINGLE_PROCESS) -> Plan:
        """Return a plan of as many steps as fit into the time left, by the main process's clock.

        Raises:
            OptionError: Not even one step fits.
        """
        now = self.clock.read()
        self.clock.expect("step", timing.step_seconds)
        self.clock.expect("evaluation", timing.eval_seconds)
        seconds_left = ranks.broadcast(self.seconds_left(now))
        self.check_time(seconds_left - timing.step_seconds - timing.eval_seconds)
        self.eval_seconds, self.costs = timing.eval_seconds, timing.costs
        self._training_started = now
        return plan_for_seconds(seconds_left, timing.step_seconds, timing.eval_seconds, timing.costs)

    def check_time(self, seconds_left: float) -> None:
        """Refuse a run that would end more than `MAX_OVERRUN` after its time.

        Raises:
            OptionError: The time is too short.
        """
        if seconds_left < -MAX_OVERRUN:
            minutes = math.ceil(10 * (self.seconds - seconds_left) / 60) / 10
            raise OptionError(
                f"the time is too short on this machine now: a step and an evaluation would end {-seconds_left:,.0f} "
                f"seconds after it. Give --minutes {minutes:,g} or more, or a smaller --preset, or end other programs"
            )

    @property
    def measuring_seconds(self) -> float:
        """Seconds to spend on each measurement before the first step."""
        return min(MEASURING_SHARE * self.seconds, MEASURING_SECONDS)

    def seconds_left(self, now: float) -> float:
        """Return the seconds until training must end."""
        return self.seconds - now

    def keep_end(self, slept: float, now: float) -> bool:
        """Shorten the budget by sleep, unless that is more than `MAX_SLEEP_SHARE` of the time left.

        Args:
            slept: Seconds that the computer slept.
            now: The clock.

        Returns:
            Whether the run still ends when it was to end. If not, it ends later by the time slept.
        """
        if slept > MAX_SLEEP_SHARE * self.seconds_left(now):
            return False
        self.seconds -= slept
        return True

    def revise(self, plan: Plan, step: int, now: float, eval_seconds: float = 0.0) -> Plan:
        """Return the plan, revised from this step on if the clock disagrees with it.

        The speed is that of the second half of the time so far: conditions may have been different in the first half,
        and a shorter period would make the plan follow random variations.

        Args:
            plan: The plan so far.
            step: Updates done.
            now: The clock, after that evaluation.
            eval_seconds: Time of the evaluation just done; 0 if there was none.
        """
        if eval_seconds:
            self.eval_seconds = eval_seconds
            self._evaluating += eval_seconds
        done, steps = plan.in_round(step)
        last = self._samples[-1]
        work = remaining_work(last.step, steps, self.costs) - remaining_work(done, steps, self.costs)
        sample = ClockSample(done, last.work + work, max(0.0, now - self._training_started - self._evaluating))
        self._samples.append(sample)
        base = [earlier for earlier in self._samples if earlier.seconds <= sample.seconds / 2][-1]
        if sample.seconds - base.seconds < MIN_OBSERVED_SHARE * self.seconds:
            return plan
        step_seconds = (sample.seconds - base.seconds) / (sample.work - base.work)
        return replan(plan, step, self.seconds_left(now), self.seconds, step_seconds, self.eval_seconds, self.costs)


def rehearse_step(
    compute_gradients: GradientFunction, optimizers: Sequence[Optimizer], x: Tensor, y: Tensor, count: int
) -> Tensor:
    """Run the step of `trainer.train` at learning rate 0, to measure its time.

    Args:
        compute_gradients: Of the model.
        optimizers: Its optimizers.
        x: Inputs, (B, T).
        y: Targets, (B, T).
        count: Updates, this one included.

    Returns:
        The loss, detached.
    """
    loss = compute_gradients(x, y)
    for optimizer in optimizers:
        optimizer.step(0.0, count)
    return loss


def measure_timing(
    config: TrainConfig, dataset: Dataset, budget: Budget, ranks: Ranks, may_compile: bool = False
) -> StepTiming:
    """Time some steps and a part of an evaluation, with a model and optimizers that are then discarded.

    Args:
        config: What to train.
        dataset: Its data.
        budget: Gives the clock, and bounds the time of the measurement.
        ranks: The processes that train together.
        may_compile: Compile the model if the time is enough, and take the faster one. `config.compile` does it always.

    Raises:
        OptionError: The time is too short for this model.
    """
    model = new_model(dataset.model_config, dataset.key, config.dropout, config.precision).to(dataset.device)
    optimizers = make_optimizers(model, config)
    compute_gradients, compiled = gradient_function(model, config, ranks), False
    if config.compile or (may_compile and budget.seconds_left(budget.clock.read()) >= MIN_SECONDS[config.device]):
        start = budget.clock.read()
        try:
            compute_compiled = gradient_function(compile_model(model, config, dataset), config)
        except CompileError as error:
            if config.compile:
                print(f"not compiled: {sanitize(str(error))}", flush=True)
        else:
            seconds = budget.clock.read() - start
            both = compute_gradients, compute_compiled
            eager, faster = compare_steps(both, optimizers, config, dataset, budget.clock.read)
            compiled = config.compile or faster < eager
            compute_gradients = both[compiled]
            print(compilation_line(compiled, faster, eager, seconds), flush=True)
    step_seconds, costs = measure_steps(compute_gradients, optimizers, config, dataset, budget, ranks)

    tokens = len(dataset.val)
    part = min(tokens, MEASURED_WINDOWS * config.block_size + 1)
    while True:
        start = budget.clock.read()
        validation_loss(model, dataset.val[:part], config.block_size, dataset.model_config.vocab_size)
        eval_seconds = ranks.broadcast(budget.clock.read() - start)
        if part == tokens or 4 * eval_seconds > budget.measuring_seconds:
            break
        part = min(tokens, 4 * part)
    return StepTiming(step_seconds, costs, eval_seconds * tokens / part, compiled)


def compare_steps(
    forms: Sequence[GradientFunction],
    optimizers: Sequence[Optimizer],
    config: TrainConfig,
    dataset: Dataset,
    clock: Clock,
) -> list[float]:
    """Return the seconds of the fastest step of each form; they take turns, so that other programs slow down all.

    Args:
        forms: Of one model.
        optimizers: Its optimizers.
        config: What to train.
        dataset: Its data.
        clock: Seconds from any fixed moment.
    """
    times: list[list[float]] = [[] for _ in forms]
    x, y = get_batch(dataset.train, dataset.key, 0, config.batch_size, config.block_size)
    for number in range(1, COMPARED_STEPS + 1):
        for compute_gradients, seconds in zip(forms, times, strict=True):
            start = clock()
            rehearse_step(compute_gradients, optimizers, x, y, number).item()
            seconds.append(clock() - start)
    return [min(seconds[1:]) for seconds in times]  # the first loads kernels


def measure_steps(
    compute_gradients: GradientFunction,
    optimizers: Sequence[Optimizer],
    config: TrainConfig,
    dataset: Dataset,
    budget: Budget,
    ranks: Ranks,
) -> tuple[float, StageCosts]:
    """Return the seconds of a step with the longest context, and what one costs in each stage of a run.

    The longest and the shortest context take turns, and the fastest step of each counts. Other programs slow some steps
    down, and the ratio of a slow one to a fast one would spoil the plan up to the last stage.

    Args:
        compute_gradients: Of the model.
        optimizers: Its optimizers.
        config: What to train.
        dataset: Its data.
        budget: Gives the clock, and bounds the time of the measurement.
        ranks: The processes that train together.

    Raises:
        OptionError: The time is too short for this model.
    """

    def time_steps(count: int, context: int) -> float:
        start = budget.clock.read()
        for number in range(1, count + 1):
            x, y = get_batch(dataset.train, dataset.key, number, config.batch_size, config.block_size, context)
            loss = rehearse_step(compute_gradients, optimizers, ranks.shard(x), ranks.shard(y), number)
        loss.item()  # waits until the device has finished
        now = budget.clock.read()
        seconds, seconds_left = ranks.broadcast((now - start, budget.seconds_left(now)))
        budget.check_time(seconds_left)
        return seconds

    contexts = {config.block_size, context_stages(config)[0][1]}
    for context in contexts:
        time_steps(WARM_UP, context)
    fastest, count, spent, last = dict.fromkeys(contexts, math.inf), 1, 0.0, 0.0
    while count == 1 or spent + 2 * last < len(contexts) * budget.measuring_seconds:
        times = {context: time_steps(count, context) for context in contexts}
        fastest = {context: min(fastest[context], seconds / count) for context, seconds in times.items()}
        last = sum(times.values())
        spent += last
        count *= 2  # nothing waits for a graphics card between them
    full, short = fastest[max(contexts)], fastest[min(contexts)]
    return full, stage_costs(config, short / full)
