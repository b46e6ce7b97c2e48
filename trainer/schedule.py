"""Schedules of a run: the learning rate and the context length, each a pure function of the step."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from trainer.config import TrainConfig

StageCosts = tuple[tuple[float, float], ...]  # where a stage begins, as a share of the run, and what an update costs
FULL_CONTEXT: StageCosts = ((0.0, 1.0),)  # of a run that has one context


def learning_rate(step: int, steps: int, config: TrainConfig) -> float:
    """Return the learning rate of one update: linear warm-up, constant, linear decay to zero.

    >>> config = TrainConfig(learning_rate=1.0, warmup_steps=10, decay_fraction=0.5)
    >>> [round(learning_rate(step, 100, config), 3) for step in (0, 9, 10, 50, 75, 99)]
    [0.1, 1.0, 1.0, 1.0, 0.5, 0.02]

    Args:
        step: Updates done before this one.
        steps: Updates of the whole run.
        config: Gives the highest rate, the warm-up and the decay.
    """
    warmup = (step + 1) / max(1, min(config.warmup_steps, steps // 10))
    decay = (steps - step) / max(1.0, config.decay_fraction * steps)
    return config.learning_rate * min(1.0, warmup, decay)


def context_stages(config: TrainConfig) -> list[tuple[float, int]]:
    """Return the contexts of a run: where each begins, as a share of the run, and its tokens.

    The short context has half of the run, twice as many tokens half of the rest, and so on up to `block_size`.

    >>> context_stages(TrainConfig(block_size=256, short_context=64))
    [(0.0, 64), (0.5, 128), (0.75, 256)]
    >>> context_stages(TrainConfig(block_size=96, short_context=32)), context_stages(TrainConfig(block_size=96))
    ([(0.0, 32), (0.5, 96)], [(0.0, 96)])

    Args:
        config: Gives the shortest and the longest context. Each context between them divides the longest, too.
    """
    stages, start, context = [], 0.0, config.short_context or config.block_size
    while context < config.block_size:
        stages.append((start, context))
        start += (1.0 - start) / 2
        context = 2 * context if config.block_size % (2 * context) == 0 else config.block_size
    return [*stages, (start, context)]


def context_length(step: int, steps: int, config: TrainConfig) -> int:
    """Return the tokens of context of one update.

    >>> config = TrainConfig(block_size=128, short_context=64)
    >>> [context_length(step, 100, config) for step in (0, 49, 50, 99)]
    [64, 64, 128, 128]

    Args:
        step: Updates done before this one.
        steps: Updates of the whole run.
        config: Gives the contexts.
    """
    return [context for start, context in context_stages(config) if start * steps <= step][-1]


def stage_costs(config: TrainConfig, short_step_ratio: float) -> StageCosts:
    """Return what an update costs in each stage. Attention's part of it grows linearly with the context.

    >>> stage_costs(TrainConfig(block_size=256, short_context=64), 0.25)
    ((0.0, 0.25), (0.5, 0.5), (0.75, 1.0))

    Args:
        config: Gives the contexts.
        short_step_ratio: Time of an update with the shortest context, divided by one with the longest.
    """
    stages = context_stages(config)
    span = max(1, config.block_size - stages[0][1])
    return tuple(
        (start, 1.0 - (1.0 - short_step_ratio) * (config.block_size - context) / span) for start, context in stages
    )


def remaining_work(step: float, steps: int, costs: StageCosts = FULL_CONTEXT) -> float:
    """Return the cost of the rest of a run, in updates with the longest context.

    >>> costs = ((0.0, 0.5), (0.5, 1.0))
    >>> remaining_work(0, 100, costs), remaining_work(60, 100, costs)
    (75.0, 40.0)

    Args:
        step: Updates done.
        steps: Updates of the whole run.
        costs: Of an update in each stage.
    """
    return sum(cost * max(0.0, end * steps - max(step, start * steps)) for start, end, cost in _spans(costs))


def total_steps(work: float, step: int, costs: StageCosts = FULL_CONTEXT) -> float:
    """Return the length of a run that has this much work left: the inverse of `remaining_work`.

    >>> costs = ((0.0, 0.5), (0.5, 1.0))
    >>> total_steps(75.0, 0, costs), total_steps(40.0, 60, costs)
    (100.0, 100.0)

    Args:
        work: Cost of the rest of the run, in updates with the longest context.
        step: Updates done.
        costs: Of an update in each stage.
    """
    for _, end, cost in _spans(costs):  # suppose that the step is in this stage, not in a later one
        steps = (work + cost * step) / (cost * end + remaining_work(end, 1, costs))
        if end * steps > step:
            break
    return steps


def _spans(costs: StageCosts) -> Iterator[tuple[float, float, float]]:
    """Yield where each stage begins and ends, as shares of the run, and what an update costs in it."""
    for (start, cost), (end, _) in pairwise((*costs, (1.0, 0.0))):
        yield start, end, cost
