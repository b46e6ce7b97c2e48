"""What a run says of itself on the terminal: when it begins, on the way, at its end."""

from __future__ import annotations

import sys
from dataclasses import asdict

from trainer.config import TrainConfig
from trainer.metrics import mark_names
from trainer.plan import Plan
from trainer.report.info import shape_of
from trainer.report.terminal_plot import curve_of
from trainer.runtime.run import Run, read_metrics, rise_of
from trainer.runtime.state import Progress, ended_early
from trainer.sampling import longest_verse
from trainer.text import counted, pasted, plain, wrapped

LEAST_EVALUATIONS = 3  # of a run, to judge it by


def opening(at: Progress, plan: Plan) -> str:
    """What is about to be trained on what."""
    config, corpus = at.config, at.lesson.corpus
    lines = [
        shape_of(at.lesson.model),
        f"corpus {plain(corpus.name)}: {len(corpus.text):,} characters, {_tokens(at)}",
        f"{counted(plan.steps, 'step')} of {config.batch_size} x {config.block_size} tokens{_short(config)}, "
        f"products in {config.precision}, on {config.device}, into {at.run.path}",
    ]
    if at.step:
        lines.append(f"going on from step {at.step:,}")
    return "\n".join(lines)


def _short(config: TrainConfig) -> str:
    """What the steps of the first half have instead."""
    if not config.short_context or config.short_context == config.block_size:
        return ""
    rows = config.batch_size * config.block_size // config.short_context
    return f" (the first half: {rows} x {config.short_context})"


def _tokens(at: Progress) -> str:
    """What the text is made of."""
    size, asked = at.lesson.model.vocab_size, at.config.vocab_size
    if at.config.tokenizer == "char":
        return f"{size} symbols"
    fewer = "" if size == asked else f" (not {asked:,}: no other pair of tokens stands twice in a word)"
    return f"{size:,} tokens{fewer}, {1 / at.lesson.tokens_per_character:.2f} characters each"


def evaluation_line(at: Progress, plan: Plan, train_loss: float, val_loss: float, sample: str) -> str:
    """One evaluation, and what the model wrote then."""
    mark = "  best" if at.best_step == at.step else ""
    bits = "" if at.config.tokenizer == "char" else f" ({at.lesson.bits(val_loss):.3f} bits a character)"
    line = f"step {at.step:,}/{plan.steps:,}  train {train_loss:.3f}  validation {val_loss:.3f}{bits}{mark}"
    return line + "".join(f"\n    {verse}" for verse in sample.splitlines() if verse.strip())


def closing(at: Progress, plan: Plan, columns: int | None = None) -> str:
    """What came out, where it lies, and what to do next.

    Args:
        columns: of the terminal, for a drawing of the losses; None where there is no terminal.
    """
    run, known = at.run, mark_names(at.config.tokenizer)
    marks = ", ".join(f"{known[name]} {loss:.2f}" for name, loss in asdict(at.lesson.marks).items())
    tokens = longest_verse(at.lesson.model)
    limit = " after a prompt of one: prompt and verse share the context of a gpt2" if at.config.arch == "gpt2" else ""
    folder = pasted([str(run.path)])
    return "\n".join(
        [
            *(["", curve_of(run, columns, sys.stdout.encoding)] if columns else []),
            "",
            wrapped(
                f"Best validation loss {at.best_val:.3f} ({at.lesson.bits(at.best_val):.3f} bits a character) at step "
                f"{at.best_step:,} of {plan.steps:,}. For comparison: {marks}.\n{verdict(at, plan)}\n"
                f"It can write verses of up to {tokens:,} tokens{limit}.\n"
                f"In {run.path}: {run.best.name} (the best checkpoint), {run.curve.name}, {run.samples.name}, "
                f"{run.metrics.name}, {run.plan.name}."
            ),
            f"Next, hear many verses and pick one: trainer audition --ckpt {folder}",
        ]
    )


def verdict(at: Progress, plan: Plan) -> str:
    """Whether the run was too long, as far as its evaluations can tell."""
    metrics = read_metrics(at.run)
    if sum("val_loss" in line for line in metrics) < LEAST_EVALUATIONS:
        return "Whether a longer run would gain, so few evaluations cannot say."
    rise = rise_of(metrics, at.config.block_size)
    if rise is None:
        return "It did not over-fit: a longer run may still gain."
    early = "So it was ended early. " if ended_early(at, plan) else ""
    if rise.over_fitting:
        what = f"It over-fitted: after step {at.best_step:,} it learned the corpus by heart, and"
        advice = "A shorter run, a smaller model, --dropout or --weight-decay would help."
    else:
        what = f"It did not learn all the time: after step {at.best_step:,}"
        advice = "So did the training loss: a smaller --learning-rate would help."
    return f"{what} the validation loss rose by {rise.by:.3f}. {early}The best checkpoint is from before. {advice}"


def how_to_go_on(run: Run) -> str:
    """The exact line."""
    return f"Go on with: trainer train --resume {pasted([str(run.path)])}"
