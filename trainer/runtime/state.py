"""A run in progress: what the loop holds in its hands, and how that is put down in a file and taken up again."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from trainer import device as machine
from trainer import rng
from trainer.checkpoint import Resume, read_resume, write_checkpoint
from trainer.config import TrainConfig
from trainer.dataset import Lesson
from trainer.errors import CheckpointError, Diverged, PlanError
from trainer.loss import validation_loss
from trainer.model import GPT, load_weights, new_model, weights_of
from trainer.optim import Optimizer, load_state, make_optimizers, state_of
from trainer.plan import Plan, Revision
from trainer.runtime.distributed import Team
from trainer.runtime.run import Run, add_sample, cut_back, read_metrics, sizes
from trainer.sampling import sample
from trainer.verse.claim import MAX_CURVE_POINTS
from trainer.verse.errors import WeightsError
from trainer.verse.files import clear_partials

PATIENCE = 3  # evaluations in a row
BEYOND = 0.1  # nats a character above the best


@dataclass
class Progress:
    """Where a run stands."""

    run: Run
    config: TrainConfig
    lesson: Lesson
    team: Team
    model: GPT
    parallel: nn.Module  # the same model, for a team
    optimizers: list[Optimizer]
    step: int = 0  # updates done
    losses: list[torch.Tensor] = field(default_factory=list)  # of the batches since the last record
    best_step: int = 0
    best_val: float = math.inf  # nats a token
    val_losses: list[float] = field(default_factory=list)  # of evaluations since the context is no longer short
    seconds_before: float = 0.0  # trained by the processes before this one


def begin(run: Run, config: TrainConfig, lesson: Lesson, plan: Plan, team: Team) -> Progress:
    """At the start, or where the run's last checkpoint was written.

    Raises:
        CheckpointError, PlanError: that checkpoint is damaged or belongs to something else.
    """
    if team.leads:
        clear_partials(run.path)
    model = new_model(lesson.model, lesson.key, config.dropout, config.precision).to(lesson.device)
    at = Progress(run, config, lesson, team, model, team.wrap(model), make_optimizers(model, config))
    if not run.last.exists():
        if team.leads:
            cut_back(run, {})
        return at
    checkpoint, resume = read_resume(run.last)
    known = (lesson.model, lesson.tokenizer.vocabulary, lesson.corpus.sha256)
    if (checkpoint.config, checkpoint.vocabulary, checkpoint.corpus["sha256"]) != known:
        raise CheckpointError(f"{run.last} belongs to another model, tokenizer or corpus than {run.config} names")
    if resume.plan.until(checkpoint.step) != plan.until(checkpoint.step):
        raise PlanError(f"{run.plan} is not the plan that {run.last} was trained by: put the old one back")
    load_weights(model, checkpoint.weights.items())
    load_state(at.optimizers, resume.optimizer)
    at.step = checkpoint.step
    match resume.running:
        case {
            "losses": list(losses),
            "best_step": int(best_step),
            "best_val": float() | None as best_val,
            "val_losses": list(val_losses),
            "seconds": float(seconds),
            "sizes": dict(lengths),
        }:
            at.losses = [torch.tensor(loss, device=lesson.device) for loss in losses]
            at.best_step, at.best_val = best_step, math.inf if best_val is None else best_val
            at.val_losses, at.seconds_before = val_losses, seconds
            if team.leads:
                cut_back(run, lengths)
        case _:
            raise CheckpointError(f"{run.last} does not hold the numbers that a run goes on with")
    return at


def seed_dropout(at: Progress) -> None:
    """By the step: a resumed run drops what it would have dropped. Each process of a team drops something else."""
    if at.config.dropout:
        torch.manual_seed(int(rng.words(at.lesson.key, "dropout", at.step, at.team.size)[at.team.rank]) >> 1)


def read_losses(at: Progress) -> list[float]:
    """The losses since the last record, each the mean over the team's shares of a batch, all of them finite.

    Raises:
        Diverged: one is not.
    """
    losses = at.team.mean(torch.stack(at.losses).tolist() if at.losses else [])
    for step, loss in enumerate(losses, start=at.step - len(losses) + 1):
        if not math.isfinite(loss):
            raise diverged(at, step, "the loss is no finite number")
    return losses


def mean_of_losses(at: Progress) -> float:
    """The mean loss of the batches since the last record; the next record begins anew.

    Raises:
        Diverged: as `read_losses`.
    """
    losses = read_losses(at)
    at.losses.clear()
    return sum(losses) / len(losses)


def evaluate(at: Progress, length: int) -> tuple[float, str]:
    """The validation loss, and a sample of what the model writes, which the leader keeps.

    While the context is short, a model may get worse at what lies beyond, and learns it later: that is no over-fitting.

    Args:
        length: the context of the last update.

    Raises:
        Diverged: the loss, or a weight, is beyond use.
    """
    val_loss = validation_loss(at.model, at.lesson.val, at.config.block_size, at.lesson.model.vocab_size)
    if not math.isfinite(val_loss):
        raise diverged(at, at.step, "the validation loss is no finite number")
    if length == at.config.block_size:
        at.val_losses.append(val_loss)
    if val_loss < at.best_val:
        at.best_step, at.best_val = at.step, val_loss
    text = ""
    if at.team.leads:
        text = write_sample(at, at.config.seed)
        add_sample(at.run, at.step, val_loss, text)
    return val_loss, text


def write_sample(at: Progress, seed: int) -> str:
    """What the model writes now.

    Raises:
        Diverged: a weight is beyond use.
    """
    try:
        return sample(at.lesson.checkpoint(weights_of(at.model)), seed)
    except WeightsError as error:
        raise diverged(at, at.step, str(error)) from None


def stop_early(at: Progress, plan: Plan) -> Plan:
    """The plan, or one that ends with the next step, where the validation loss rose and will not come back."""
    if at.config.early_stop and at.step + 1 < plan.steps and lost(at.val_losses, beyond(at)):
        return plan.with_revision(Revision(at.step, at.step + 1, 1))
    return plan


def ended_early(at: Progress, plan: Plan) -> bool:
    """Whether `stop_early` ended the run, whose last evaluation came a step later."""
    last = plan.revisions[-1]
    return at.config.early_stop and last.steps == last.at_step + 1 and lost(at.val_losses[:-1], beyond(at))


def beyond(at: Progress) -> float:
    """How far above the best is far, in nats a token."""
    return BEYOND / at.lesson.tokens_per_character


def lost(val_losses: Sequence[float], beyond: float) -> bool:
    """Whether the last few are all so far above the best.

    >>> lost([2.0, 1.5, 1.62, 1.61, 1.65], 0.1), lost([2.0, 1.5, 1.62, 1.55, 1.65], 0.1), lost([1.7, 1.6], 0.1)
    (True, False, False)
    """
    return len(val_losses) > PATIENCE and min(val_losses[-PATIENCE:]) > min(val_losses) + beyond


def save(at: Progress, plan: Plan, seconds: float, val_loss: float | None = None) -> None:
    """Write `last`; and `best`, if this is it. All of a team call it, and the leader writes.

    Args:
        seconds: trained so far.
        val_loss: of this step, if it was evaluated.

    Raises:
        Diverged: there is nothing worth keeping.
        OSError: the disk is full, say; both files are then as they were.
    """
    losses = read_losses(at)
    if not at.team.leads:
        return
    checkpoint = at.lesson.checkpoint(weights_of(at.model), at.step, val_loss, provenance(at, plan, seconds, val_loss))
    if at.best_step == at.step:
        write_checkpoint(at.run.best, checkpoint)
    running = {
        "losses": losses,
        "best_step": at.best_step,
        "best_val": at.best_val if at.best_step else None,
        "val_losses": at.val_losses,
        "seconds": seconds,
        "sizes": sizes(at.run),
    }
    write_checkpoint(at.run.last, checkpoint, Resume(plan, running, state_of(at.optimizers)))


def provenance(at: Progress, plan: Plan, seconds: float, val_loss: float | None) -> dict[str, Any]:
    """How the model came to be, as a bundle will tell it."""
    curve = [
        [line["step"], round(line["train_loss"], 4), round(line["val_loss"], 4)]
        for line in read_metrics(at.run)
        if "val_loss" in line
    ]
    thinned = curve[:: -(-len(curve) // MAX_CURVE_POINTS)] if curve else []
    return {
        "corpus": at.lesson.corpus_record,
        "train": at.config.to_dict() | {"corpus": at.lesson.corpus.name},
        "seed": at.config.seed,
        "steps": at.step,
        "minutes": round(seconds / 60, 3),
        "plan": Plan(plan.until(at.step)).to_dict(),
        "loss_curve": thinned,  # [step, train loss, validation loss]
        "bits_per_character": None if val_loss is None else round(at.lesson.bits(val_loss), 4),
        **machine.describe(at.config.device),
    }


def diverged(at: Progress, step: int, what: str) -> Diverged:
    """The error, with what is left of the run."""
    kept = f"What was saved before stays in {at.run.path}." if at.run.last.exists() else "Nothing was saved yet."
    return Diverged(step, what, kept, at.config.learning_rate)
