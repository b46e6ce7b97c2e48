"""What a run says of itself on the terminal: when it begins, on the way, at its end."""

from __future__ import annotations

import shlex
import sys
from dataclasses import asdict
from pathlib import Path

from trainer.marks import mark_names
from trainer.plan import Plan
from trainer.progress import Progress, lost
from trainer.run import Run, over_fitted, points
from trainer.terminal import curve_of
from trainer.writer import longest_verse


def opening(at: Progress, plan: Plan) -> str:
    """What is about to be trained on what."""
    config, corpus, model = at.config, at.lesson.corpus, at.lesson.model
    lines = [
        f"{config.arch}, {model.n_layer} layers, {model.n_head} heads, width {model.n_embd}, "
        f"context {model.block_size}: {model.n_params:,} weights",
        f"corpus {corpus.name}: {len(corpus.text):,} characters, {_tokens(at)}",
        f"{plan.steps:,} steps of {config.batch_size} x {config.block_size} tokens on {config.device}, "
        f"into {at.run.path}",
    ]
    if at.step:
        lines.append(f"going on from step {at.step:,}")
    return "\n".join(lines)


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
    folder = shlex.quote(str(run.path))
    return "\n".join(
        [
            *(["", curve_of(run, columns, sys.stdout.encoding)] if columns else []),
            "",
            f"Best validation loss {at.best_val:.3f} ({at.lesson.bits(at.best_val):.3f} bits a character) at step "
            f"{at.best_step:,} of {plan.steps:,}. For comparison: {marks}.",
            verdict(at, plan),
            f"It can write verses of up to {tokens:,} tokens{limit}.",
            f"In {run.path}: {run.best.name} (the best checkpoint), {run.curve.name}, {run.samples.name}, "
            f"{run.metrics.name}, {run.plan.name}.",
            f"Next, hear many verses and pick one: trainer audition --ckpt {folder}",
        ]
    )


def verdict(at: Progress, plan: Plan) -> str:
    """Whether the run was too long."""
    rise = over_fitted(points(at.run, "val_loss"))
    if not rise:
        return "It did not over-fit: a longer run would still gain."
    early = plan.revisions[0].steps > plan.steps and lost(at.val_losses)
    return (
        f"It over-fitted: after step {at.best_step:,} it learned the corpus by heart, and the validation loss rose by "
        f"{rise:.3f}. {'So it was ended early. ' if early else ''}The best checkpoint is from before. A shorter run, a "
        "smaller model, --dropout or --weight-decay would help."
    )


def how_to_go_on(run: Run) -> str:
    """The exact line."""
    return f"Go on with: trainer train --resume {shlex.quote(str(Path(run.path)))}"
