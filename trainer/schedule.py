"""What changes in the course of a run: the learning rate and the context, each a pure function of the step."""

from __future__ import annotations

from trainer.config import TrainConfig

SHORT_PART = 0.5  # of a run, at its beginning, in which the context may be shorter


def learning_rate(step: int, steps: int, config: TrainConfig) -> float:
    """The rate of the update that follows `step` updates, in a run of `steps`.

    A trapezoid: it rises evenly during the warm-up, stays, and falls evenly to nothing at the end.

    >>> config = TrainConfig(learning_rate=1.0, warmup_steps=10, decay_fraction=0.5)
    >>> [round(learning_rate(step, 100, config), 3) for step in (0, 9, 10, 50, 75, 99)]
    [0.1, 1.0, 1.0, 1.0, 0.5, 0.02]
    """
    rise = (step + 1) / max(1, min(config.warmup_steps, steps // 10))
    fall = (steps - step) / max(1.0, config.decay_fraction * steps)
    return config.learning_rate * min(1.0, rise, fall)


def context(step: int, steps: int, config: TrainConfig) -> int:
    """Tokens of context of the update that follows `step` updates: what is near is learned first.

    >>> config = TrainConfig(block_size=128, short_context=64)
    >>> [context(step, 100, config) for step in (0, 49, 50, 99)]
    [64, 64, 128, 128]
    """
    return config.short_context if config.short_context and step < SHORT_PART * steps else config.block_size


def work(step: int, steps: int, ease: float) -> float:
    """What is left to do after `step` updates, in updates with the whole context.

    Args:
        ease: what an update with the short context costs, as a share of one with the whole.

    >>> work(0, 100, 0.5), work(60, 100, 0.5)
    (75.0, 40.0)
    """
    turn = max(step, SHORT_PART * steps)
    return ease * (turn - step) + steps - turn


def steps_for(left: float, step: int, ease: float) -> float:
    """The length of a run that has so much work left after `step` updates: the inverse of `work`.

    >>> steps_for(75.0, 0, 0.5), steps_for(40.0, 60, 0.5)
    (100.0, 100.0)
    """
    steps = (left + ease * step) / (1.0 - SHORT_PART + ease * SHORT_PART)
    return steps if SHORT_PART * steps > step else left + step
