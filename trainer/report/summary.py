"""Messages of a training run on the terminal: at the start, at each evaluation, at the end."""

from __future__ import annotations

import sys
from dataclasses import asdict
from datetime import datetime, timedelta
from itertools import pairwise

from trainer.config import TrainConfig
from trainer.metrics import baseline_names
from trainer.plan import Plan
from trainer.report.info import describe_shape, describe_steps
from trainer.report.terminal_plot import plot_run_as_text
from trainer.runtime.run import Run, loss_rise, read_metrics
from trainer.runtime.state import TrainState, ended_early
from trainer.sampling import max_verse_tokens
from trainer.schedule import context_stages
from trainer.text import pluralize, shell_join, wrap
from trainer.verse.text import sanitize

MIN_EVALUATIONS = 3  # needed to say whether a run over-fitted


def opening_message(state: TrainState, plan: Plan) -> str:
    """Return what is about to be trained."""
    config, corpus = state.config, state.dataset.corpus
    lines = [
        describe_shape(state.dataset.model_config),
        f"corpus {sanitize(corpus.name)}: {len(corpus.text):,} characters, {_describe_tokens(state)}",
        f"{describe_steps(plan)} of {config.batch_size} x {config.block_size} tokens"
        f"{_describe_stages(config, plan)}, products in {config.precision}, on {config.device}, "
        f"into {sanitize(str(state.run.path))}",
    ]
    if state.step in plan.round_starts[1:]:
        lines.append(f"round {plan.round_starts.index(state.step) + 1} begins after step {state.step:,}")
    elif state.step:
        lines.append(f"resuming from step {state.step:,}")
    return "\n".join(lines)


def _describe_stages(config: TrainConfig, plan: Plan) -> str:
    """Return the shapes of a round's batches while its context is shorter, if it is."""
    stages = context_stages(config)
    tokens, whole = config.batch_size * config.block_size, " of each round" if len(plan.round_starts) > 1 else ""
    shapes = [f"up to {end:.0%}{whole}: {tokens // context} x {context}" for (_, context), (end, _) in pairwise(stages)]
    return f" ({', '.join(shapes)})" if shapes else ""


def _describe_tokens(state: TrainState) -> str:
    """Return the size of the vocabulary, and for bpe the characters per token."""
    size, requested = state.dataset.model_config.vocab_size, state.config.vocab_size
    if state.config.tokenizer == "char":
        return f"{size} symbols"
    fewer = "" if size == requested else f" (not {requested:,}: no other pair of tokens occurs twice within words)"
    return f"{size:,} tokens{fewer}, {1 / state.dataset.tokens_per_character:.2f} characters each"


def evaluation_line(state: TrainState, plan: Plan, train_loss: float, val_loss: float, sample: str) -> str:
    """Return the line of one evaluation, and the sample under it.

    Args:
        state: The run's state.
        plan: The run's plan.
        train_loss: Nats per token.
        val_loss: Nats per token.
        sample: What the model wrote; "" to leave it out.
    """
    best = "  best" if state.best_step == state.step else ""
    bits = ""
    if state.config.tokenizer != "char":
        bits = f" ({state.dataset.bits_per_character(val_loss):.3f} bits per character)"
    line = f"step {state.step:,}/{plan.steps:,}  train {train_loss:.3f}  validation {val_loss:.3f}{bits}{best}"
    return line + "".join(f"\n    {verse}" for verse in sample.splitlines() if verse.strip())


def closing_message(state: TrainState, plan: Plan, columns: int | None = None) -> str:
    """Return the result of a run, where its files are, and what to do next.

    Args:
        state: The run's state.
        plan: The run's plan.
        columns: Width of the terminal, for a plot of the losses; None to leave it out.
    """
    run, names = state.run, baseline_names(state.config.tokenizer)
    baselines = ", ".join(f"{names[name]} {loss:.2f}" for name, loss in asdict(state.dataset.baselines).items())
    bits = state.dataset.bits_per_character(state.best_val_loss)
    tokens = max_verse_tokens(state.dataset.model_config)
    limit = ""
    if state.config.arch == "gpt2":
        limit = " after a prompt of one token: in a gpt2, prompt and verse share the context"
    return "\n".join(
        [
            *(["", plot_run_as_text(run, columns, sys.stdout.encoding)] if columns else []),
            "",
            wrap(
                f"Best validation loss {state.best_val_loss:.3f} ({bits:.3f} bits per character) at step "
                f"{state.best_step:,} of {plan.steps:,}. For comparison: {baselines}.\n"
                f"{training_verdict(state, plan)}\n"
                f"It can write verses of up to {tokens:,} tokens{limit}.\n"
                f"In {sanitize(str(run.path))}: {run.best.name} (the best checkpoint), {run.curve.name}, "
                f"{run.samples.name}, {run.metrics.name}, {run.plan.name}."
            ),
            f"Next, write many verses and choose one: trainer audition --ckpt {shell_join([str(run.path)])}",
        ]
    )


def training_verdict(state: TrainState, plan: Plan) -> str:
    """Return whether the run was too long, as far as its evaluations show."""
    metrics = read_metrics(state.run)
    if sum("val_loss" in line for line in metrics) < MIN_EVALUATIONS:
        return "There are too few evaluations to say whether a longer run would help."
    rise = loss_rise(metrics, state.config.block_size)
    if rise is None:
        return "It did not over-fit: a longer run may still help."
    if not rise.over_fitting and state.best_step <= plan.round_starts[-1]:
        return "The last round was too short to lower the loss: the best checkpoint is from before it."
    early = "So it was ended early. " if ended_early(state, plan) else ""
    if rise.over_fitting:
        what = f"It over-fitted: after step {state.best_step:,} it memorized the corpus, and"
        advice = "A shorter run, a smaller model, --dropout or --weight-decay would help."
    else:
        what = f"Training became unstable: after step {state.best_step:,}"
        advice = "So did the training loss: a smaller --learning-rate would help."
    return f"{what} the validation loss rose by {rise.amount:.3f}. {early}The best checkpoint is from before. {advice}"


def sleep_message(slept: float, end: datetime, is_kept: bool) -> str:
    """Return what sleep means for the end of a run.

    >>> print(sleep_message(720.0, datetime(2026, 11, 28, 21, 40), is_kept=False))
    the computer slept for 12 minutes: the run ends at about 21:40 instead of 21:28
    >>> print(sleep_message(45.0, datetime(2026, 11, 28, 21, 28), is_kept=True))
    the computer slept for 45 seconds: the run still ends at about 21:28:00, with fewer steps

    Args:
        slept: Seconds.
        end: When the run ends now.
        is_kept: Whether it was to end then before the sleep, too.
    """
    if slept < 120:
        duration, style = pluralize(round(slept), "second"), "%H:%M:%S"
    else:
        duration, style = pluralize(round(slept / 60), "minute"), "%H:%M"
    told = f"the computer slept for {duration}: the run"
    if is_kept:
        return f"{told} still ends at about {end:{style}}, with fewer steps"
    return f"{told} ends at about {end:{style}} instead of {end - timedelta(seconds=slept):{style}}"


def lost_message(state: TrainState, reason: str) -> str:
    """Return what is kept of a run whose folder can no longer be written, and what to do.

    Args:
        state: The run's state.
        reason: The system's message.
    """
    run = state.run
    if not state.saved_step:
        return f"{run.path} can no longer be written: {reason}. Nothing was saved yet: start again"
    return (
        f"{run.path} can no longer be written: {reason}. The run was saved last after step {state.saved_step:,}, in "
        f"{run.last}. When the folder can be written again: trainer train --resume {shell_join([str(run.path)])}"
    )


def resume_hint(run: Run) -> str:
    """Return the command that resumes a run."""
    return f"Resume it with: trainer train --resume {shell_join([str(run.path)])}"
