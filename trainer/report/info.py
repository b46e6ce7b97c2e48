"""Descriptions of a run, a checkpoint or a bundle, in a few lines."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trainer.checkpoint import METADATA_KEY, Checkpoint, read_checkpoint, training_record
from trainer.errors import CheckpointError, RunError
from trainer.metrics import bits_per_character, recorded_tokens_per_character
from trainer.plan import Plan, read_plan
from trainer.runtime.run import Run, read_config, read_metrics
from trainer.sampling import max_verse_tokens
from trainer.text import pluralize, shell_join
from trainer.verse.bundle_file import read_claim
from trainer.verse.claim import Claim
from trainer.verse.config import ModelConfig
from trainer.verse.errors import VerseError
from trainer.verse.text import sanitize
from trainer.verse.vocabulary import Vocabulary

PEEK_BYTES = 100  # of a file: the start of a checkpoint's header holds its metadata key


def describe(path: Path) -> str:
    """Describe what is at `path`.

    Raises:
        TrainerError: It is not a run, a checkpoint or a bundle, or it is damaged.
        OSError: It cannot be read.
    """
    if path.is_dir():
        return _table(_describe_run(Run(path)))
    if not path.exists():
        raise FileNotFoundError(2, "there is no such file or folder", str(path))
    if path.is_file() and _is_checkpoint(path):
        return _table(_describe_checkpoint(read_checkpoint(path)))
    try:
        return _table(_describe_bundle(read_claim(path)))
    except VerseError as error:
        raise RunError(f"{path} is not a run, a checkpoint or a readable bundle: {error}") from None


def _describe_run(run: Run) -> dict[str, str]:
    config, corpus = read_config(run)
    plan = read_plan(run.plan)
    lines = read_metrics(run)
    step = lines[-1]["step"] if lines else 0
    rows = {"run": str(run.path), "trained": f"{step:,} of {describe_steps(plan)}"}
    if lines:
        rows["trained"] += f", {lines[-1]['seconds'] / 60:.1f} minutes on {config.device}"
    if step < plan.steps:
        rows["trained"] += f"; resume it with trainer train --resume {shell_join([str(run.path)])}"
    if run.best.exists():
        return rows | _describe_checkpoint(read_checkpoint(run.best))
    return rows | {"corpus": sanitize(corpus["name"]), "best": "not evaluated yet"}


def _describe_checkpoint(checkpoint: Checkpoint) -> dict[str, str]:
    return {
        "checkpoint": _describe_training(
            checkpoint.step, checkpoint.val_loss, checkpoint.corpus, checkpoint.vocabulary.kind
        ),
        **_describe_model(checkpoint.config, checkpoint.vocabulary),
        "corpus": f"{sanitize(checkpoint.corpus['name'])}, SHA-256 {sanitize(checkpoint.corpus['sha256'][:16])}…",
    }


def _describe_training(step: int, val_loss: float | None, corpus: Mapping[str, Any], kind: str) -> str:
    """Return a checkpoint's step and loss in words.

    Args:
        step: Updates done.
        val_loss: Nats per token; None if it is not known.
        corpus: The corpus's record.
        kind: Of the tokenizer, "char" or "bpe".
    """
    loss, ratio = "not evaluated", recorded_tokens_per_character(corpus, kind)
    if val_loss is not None:
        loss = f"validation loss {val_loss:.4f}"
        if ratio is not None:
            loss += f" ({bits_per_character(val_loss, ratio):.4f} bits per character)"
    return f"step {step:,}, {loss}"


def _describe_bundle(claim: Claim) -> dict[str, str]:
    recipe, certificate = claim.recipe, claim.certificate
    corpus = claim.provenance.get("corpus")
    try:
        training = f"{_describe_training(*training_record(claim.provenance), claim.vocabulary.kind)} (claimed)"
    except CheckpointError:
        training = "not stated"
    return {
        "bundle": f"{claim.size:,} bytes, weights SHA-256 {claim.tensors_sha256[:16]}…",
        "training": training,
        **_describe_model(claim.config, claim.vocabulary),
        "corpus": sanitize(str(corpus["name"])) if isinstance(corpus, Mapping) and "name" in corpus else "not stated",
        "prompt": repr(claim.prompt),
        "recipe": f"temperature {recipe.temperature / 100:g}, top-k {recipe.top_k}, seed {recipe.seed}",
        "certificate": f"smallest gap {certificate.smallest_gap:.3g} at token {certificate.position} "
        f"of {certificate.tokens} (claimed; `arena verify` checks it)",
        "verse": "\n" + claim.text,
    }


def describe_shape(config: ModelConfig) -> str:
    """Return a model's shape in words."""
    layers, heads = pluralize(config.n_layer, "layer"), pluralize(config.n_head, "head")
    return (
        f"{config.arch}, {layers}, {heads}, width {config.n_embd}, context {config.block_size}: "
        f"{config.n_params:,} weights"
    )


def describe_steps(plan: Plan) -> str:
    """Return the length of a run in words.

    >>> from trainer.plan import plan_for_steps
    >>> describe_steps(plan_for_steps(100)), describe_steps(plan_for_steps(100).with_round(plan_for_steps(50)))
    ('100 steps', '150 steps in 2 rounds')
    """
    rounds = len(plan.round_starts)
    return pluralize(plan.steps, "step") + (f" in {rounds} rounds" if rounds > 1 else "")


def _describe_model(config: ModelConfig, vocabulary: Vocabulary) -> dict[str, str]:
    return {
        "model": describe_shape(config),
        "tokenizer": f"{vocabulary.kind}, {vocabulary.size:,} tokens",
        "longest verse": f"{max_verse_tokens(config):,} tokens",
    }


def _is_checkpoint(path: Path) -> bool:
    with path.open("rb") as file:
        return f'"{METADATA_KEY}":'.encode() in file.read(PEEK_BYTES)


def _table(rows: Mapping[str, Any]) -> str:
    return "\n".join(f"{name:<14} {value}" for name, value in rows.items())
