"""The state of a run: what the training loop works on, how it is evaluated, saved and restored."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from trainer import rng
from trainer.checkpoint import Resume, read_resume, write_checkpoint
from trainer.config import TrainConfig
from trainer.dataset import Dataset
from trainer.device import describe_device
from trainer.errors import CheckpointError, Diverged, PlanError
from trainer.loss import validation_loss
from trainer.model import GPT, load_weights, new_model, weights_of
from trainer.optim import Optimizer, load_state, make_optimizers, state_of
from trainer.plan import Plan, Revision
from trainer.runtime.distributed import Ranks
from trainer.runtime.run import Run, append_sample, persist, read_metrics, record_sizes, truncate_records
from trainer.sampling import write_sample
from trainer.verse.claim import MAX_CURVE_POINTS
from trainer.verse.errors import WeightsError
from trainer.verse.files import clear_partials

PATIENCE = 3  # evaluations in a row
EARLY_STOP_MARGIN = 0.1  # nats per character above the best


@dataclass
class TrainState:
    """Everything that changes while a run trains, and what it belongs to."""

    run: Run
    config: TrainConfig
    dataset: Dataset
    ranks: Ranks
    model: GPT
    optimizers: list[Optimizer]
    step: int = 0  # updates done
    saved_step: int = 0  # updates done in the last checkpoint
    recent_losses: list[torch.Tensor] = field(default_factory=list)  # of the batches since the last record
    best_step: int = 0
    best_val_loss: float = math.inf  # nats per token
    val_losses: list[float] = field(default_factory=list)  # of this round's evaluations after full-context steps
    earlier_seconds: float = 0.0  # of training, by the processes before this one


def start_state(run: Run, config: TrainConfig, dataset: Dataset, plan: Plan, ranks: Ranks) -> TrainState:
    """Return the initial state of a run, or the one in its last checkpoint.

    Args:
        run: The run's folder.
        config: What to train.
        dataset: Its data.
        plan: The run's plan.
        ranks: The processes that train together.

    Raises:
        CheckpointError: The checkpoint is damaged or belongs to another run.
        PlanError: The checkpoint was trained by another plan.
    """
    if ranks.is_main:
        clear_partials(run.path)
    model = new_model(dataset.model_config, dataset.key, config.dropout, config.precision).to(dataset.device)
    state = TrainState(run, config, dataset, ranks, model, make_optimizers(model, config))
    if not run.last.exists():
        if ranks.is_main:
            truncate_records(run, {})
        return state
    checkpoint, resume = read_resume(run.last)
    expected = (dataset.model_config, dataset.tokenizer.vocabulary, dataset.corpus.sha256)
    if (checkpoint.config, checkpoint.vocabulary, checkpoint.corpus["sha256"]) != expected:
        raise CheckpointError(f"{run.last} belongs to another model, tokenizer or corpus than {run.config} names")
    if resume.plan.revisions_until(checkpoint.step) != plan.revisions_until(checkpoint.step):
        raise PlanError(f"{run.plan} is not the plan that {run.last} was trained by: put the old one back")
    load_weights(model, checkpoint.weights.items())
    load_state(state.optimizers, resume.optimizer)
    state.step = state.saved_step = checkpoint.step
    match resume.train_state:
        case {
            "recent_losses": list(recent_losses),
            "best_step": int(best_step),
            "best_val_loss": float() | None as best_val_loss,
            "val_losses": list(val_losses),
            "seconds": float(seconds),
            "record_sizes": dict(sizes),
        }:
            state.recent_losses = [torch.tensor(loss, device=dataset.device) for loss in recent_losses]
            state.best_step, state.best_val_loss = best_step, math.inf if best_val_loss is None else best_val_loss
            state.val_losses, state.earlier_seconds = val_losses, seconds
            if ranks.is_main:
                truncate_records(run, sizes)
        case _:
            raise CheckpointError(f"{run.last} does not hold the state that a run resumes from")
    return state


def seed_dropout(state: TrainState) -> None:
    """Seed dropout by the step and the rank, so that a resumed run drops the same activations."""
    if state.config.dropout:
        seeds = rng.words(state.dataset.key, "dropout", state.step, state.ranks.size)
        torch.manual_seed(int(seeds[state.ranks.rank]) >> 1)


def read_losses(state: TrainState) -> list[float]:
    """Return the losses since the last record, each averaged over the processes.

    Raises:
        Diverged: One of them is not finite.
    """
    losses = state.ranks.mean(torch.stack(state.recent_losses).tolist() if state.recent_losses else [])
    for step, loss in enumerate(losses, start=state.step - len(losses) + 1):
        if not math.isfinite(loss):
            raise diverged(state, step, "the loss is not a finite number")
    return losses


def take_mean_loss(state: TrainState) -> float:
    """Return the mean loss since the last record, and start a new record.

    Raises:
        Diverged: A loss is not finite.
    """
    losses = read_losses(state)
    state.recent_losses.clear()
    return sum(losses) / len(losses)


def evaluate(state: TrainState, context: int) -> tuple[float, str]:
    """Compute the validation loss, and write and record a sample.

    While the context is shorter than `block_size`, the loss at later positions may rise. This is not
    over-fitting, so early stopping ignores these evaluations.

    Args:
        state: The run's state; its best and latest losses are updated.
        context: Tokens of context of the last update.

    Returns:
        The loss in nats per token, and the sample; "" in all processes but the main one.

    Raises:
        WriteError: The sample could not be recorded.
        Diverged: The loss is not finite, or a weight is too large.
    """
    val_loss = validation_loss(
        state.model, state.dataset.val, state.config.block_size, state.dataset.model_config.vocab_size
    )
    if not math.isfinite(val_loss):
        raise diverged(state, state.step, "the validation loss is not a finite number")
    if context == state.config.block_size:
        state.val_losses.append(val_loss)
    if val_loss < state.best_val_loss:
        state.best_step, state.best_val_loss = state.step, val_loss
    text = ""
    if state.ranks.is_main:
        text = sample_model(state, state.config.seed)
        persist(state.run, append_sample, state.run, state.step, val_loss, text)
    return val_loss, text


def sample_model(state: TrainState, seed: int) -> str:
    """Write a few lines with the current weights.

    Raises:
        Diverged: A weight is too large or not finite.
    """
    try:
        return write_sample(state.dataset.checkpoint(weights_of(state.model)), seed)
    except WeightsError as error:
        raise diverged(state, state.step, str(error)) from None


def stop_early(state: TrainState, plan: Plan) -> Plan:
    """Return the plan, ended with the next step if the validation loss has risen too far above its best."""
    if (
        state.config.early_stop
        and state.step + 1 < plan.steps
        and has_risen(state.val_losses, early_stop_margin(state))
    ):
        return plan.with_revision(Revision(state.step, state.step + 1, 1, plan.revision_at(state.step).threads))
    return plan


def ended_early(state: TrainState, plan: Plan) -> bool:
    """Whether `stop_early` ended this run, whose last evaluation came one step later."""
    last = plan.revisions[-1]
    was_cut = last.steps == last.at_step + 1
    return state.config.early_stop and was_cut and has_risen(state.val_losses[:-1], early_stop_margin(state))


def early_stop_margin(state: TrainState) -> float:
    """Return the margin above the best loss in nats per token."""
    return EARLY_STOP_MARGIN / state.dataset.tokens_per_character


def has_risen(val_losses: Sequence[float], margin: float) -> bool:
    """Whether the last `PATIENCE` losses are all more than `margin` above the best."""
    return len(val_losses) > PATIENCE and min(val_losses[-PATIENCE:]) > min(val_losses) + margin


def save_checkpoints(state: TrainState, plan: Plan, seconds: float, val_loss: float | None = None) -> None:
    """Write the last checkpoint, and the best one if this is it. All processes call it, and the main one writes.

    Args:
        state: The run's state.
        plan: The run's plan.
        seconds: The time trained so far.
        val_loss: At this step; None if it was not evaluated.

    Raises:
        Diverged: A loss is not finite, so there is nothing to keep.
        WriteError: A file could not be written; the one before is kept.
    """
    losses = read_losses(state)
    if state.ranks.is_main:
        persist(state.run, write_checkpoints, state, plan, seconds, val_loss, losses)
        state.saved_step = state.step


def write_checkpoints(
    state: TrainState, plan: Plan, seconds: float, val_loss: float | None, losses: Sequence[float]
) -> None:
    """Write the best checkpoint, if this is it, and the last one.

    Args:
        state: The run's state.
        plan: The run's plan.
        seconds: Of training so far.
        val_loss: At this step; None if it was not evaluated.
        losses: Since the last record, in nats per token.

    Raises:
        OSError: A file could not be written; the one before is kept.
    """
    checkpoint = state.dataset.checkpoint(
        weights_of(state.model), state.step, val_loss, provenance(state, plan, seconds, val_loss)
    )
    if state.best_step == state.step:
        write_checkpoint(state.run.best, checkpoint)
    train_state = {
        "recent_losses": list(losses),
        "best_step": state.best_step,
        "best_val_loss": state.best_val_loss if state.best_step else None,
        "val_losses": state.val_losses,
        "seconds": seconds,
        "record_sizes": record_sizes(state.run),
    }
    write_checkpoint(state.run.last, checkpoint, Resume(plan, train_state, state_of(state.optimizers)))


def provenance(state: TrainState, plan: Plan, seconds: float, val_loss: float | None) -> dict[str, Any]:
    """Return how the model was trained, as a bundle will tell it.

    Args:
        state: The run's state.
        plan: The run's plan.
        seconds: The time trained so far.
        val_loss: At this step; None if it was not evaluated.
    """
    curve = [
        [line["step"], round(line["train_loss"], 4), round(line["val_loss"], 4)]
        for line in read_metrics(state.run)
        if "val_loss" in line
    ]
    thinned = curve[:: -(-len(curve) // MAX_CURVE_POINTS)] if curve else []
    bits = None if val_loss is None else round(state.dataset.bits_per_character(val_loss), 4)
    return {
        "corpus": state.dataset.corpus_record,
        "train": state.config.to_dict() | {"corpus": state.dataset.corpus.name},
        "seed": state.config.seed,
        "steps": state.step,
        "minutes": round(seconds / 60, 3),
        "plan": Plan(plan.revisions_until(state.step)).to_dict(),
        "loss_curve": thinned,  # [step, train loss, validation loss]
        "bits_per_character": bits,
        **describe_device(state.config.device),
    }


def diverged(state: TrainState, step: int, what: str) -> Diverged:
    """Return the error of a diverged run, which says what is kept.

    Args:
        state: The run's state.
        step: Where it was seen first.
        what: What is not finite or too large.
    """
    saved = state.run.last.exists()
    kept = f"What was saved before is still in {state.run.path}." if saved else "Nothing was saved yet."
    return Diverged(step, what, kept, state.config.learning_rate)
