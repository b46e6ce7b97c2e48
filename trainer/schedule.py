"""Schedules of a run: the learning rate and the context length, each a pure function of the step."""

from __future__ import annotations

from trainer.config import TrainConfig

SHORT_CONTEXT_FRACTION = 0.5  # of a run, at its start, in which the context may be shorter


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


def context_length(step: int, steps: int, config: TrainConfig) -> int:
    """Return the tokens of context of one update: short in the first part of a run, then `block_size`.

    >>> config = TrainConfig(block_size=128, short_context=64)
    >>> [context_length(step, 100, config) for step in (0, 49, 50, 99)]
    [64, 64, 128, 128]

    Args:
        step: Updates done before this one.
        steps: Updates of the whole run.
        config: Gives both lengths.
    """
    is_short = config.short_context and step < SHORT_CONTEXT_FRACTION * steps
    return config.short_context if is_short else config.block_size


def remaining_work(step: int, steps: int, short_step_ratio: float) -> float:
    """Return the cost of the rest of a run, in updates with the full context.

    >>> remaining_work(0, 100, 0.5), remaining_work(60, 100, 0.5)
    (75.0, 40.0)

    Args:
        step: Updates done.
        steps: Updates of the whole run.
        short_step_ratio: Cost of an update with the short context, divided by one with the full context.
    """
    switch = max(step, SHORT_CONTEXT_FRACTION * steps)
    return short_step_ratio * (switch - step) + steps - switch


def total_steps(work: float, step: int, short_step_ratio: float) -> float:
    """Return the length of a run that has this much work left: the inverse of `remaining_work`.

    >>> total_steps(75.0, 0, 0.5), total_steps(40.0, 60, 0.5)
    (100.0, 100.0)

    Args:
        work: Cost of the rest of the run, in updates with the full context.
        step: Updates done.
        short_step_ratio: As for `remaining_work`.
    """
    steps = (work + short_step_ratio * step) / (
        1.0 - SHORT_CONTEXT_FRACTION + short_step_ratio * SHORT_CONTEXT_FRACTION
    )
    return steps if SHORT_CONTEXT_FRACTION * steps > step else work + step
