"""What a run, a checkpoint or a bundle is, in a few lines."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trainer.checkpoint import METADATA_KEY, Checkpoint, read_checkpoint
from trainer.errors import RunError
from trainer.metrics import bits_per_character, recorded_ratio
from trainer.plan import read_plan
from trainer.runtime.run import Run, read_config, read_metrics
from trainer.sampling import longest_verse
from trainer.text import counted, pasted, plain
from trainer.verse.bundle import read_claim
from trainer.verse.claim import Claim
from trainer.verse.config import ModelConfig
from trainer.verse.errors import VerseError
from trainer.verse.vocabulary import Vocabulary

PEEK = 100  # bytes in which a checkpoint's header names itself


def describe(path: Path) -> str:
    """Say what lies at `path`.

    Raises:
        TrainerError, VerseError, OSError: nothing that the trainer knows.
    """
    if path.is_dir():
        return _table(_run(Run(path)))
    if not path.exists():
        raise FileNotFoundError(2, "there is nothing here", str(path))
    if path.is_file() and _is_checkpoint(path):
        return _table(_checkpoint(read_checkpoint(path)))
    try:
        return _table(_bundle(read_claim(path)))
    except VerseError as error:
        raise RunError(f"{path} is no run, and no checkpoint or bundle that can be read: {error}") from None


def _run(run: Run) -> dict[str, str]:
    config, corpus = read_config(run)
    plan = read_plan(run.plan)
    lines = read_metrics(run)
    step = lines[-1]["step"] if lines else 0
    rows = {"run": str(run.path), "trained": f"{step:,} of {plan.steps:,} steps"}
    if lines:
        rows["trained"] += f", {lines[-1]['seconds'] / 60:.1f} minutes on {config.device}"
    if step < plan.steps:
        rows["trained"] += f"; go on with trainer train --resume {pasted([str(run.path)])}"
    if run.best.exists():
        return rows | _checkpoint(read_checkpoint(run.best))
    return rows | {"corpus": plain(corpus["name"]), "best": "not evaluated yet"}


def _checkpoint(checkpoint: Checkpoint) -> dict[str, str]:
    loss, ratio = "not evaluated", recorded_ratio(checkpoint.corpus, checkpoint.vocabulary.kind)
    if checkpoint.val_loss is not None:
        loss = f"validation loss {checkpoint.val_loss:.4f}"
        if ratio is not None:
            loss += f" ({bits_per_character(checkpoint.val_loss, ratio):.4f} bits a character)"
    return {
        "checkpoint": f"step {checkpoint.step:,}, {loss}",
        **_model(checkpoint.config, checkpoint.vocabulary),
        "corpus": f"{plain(checkpoint.corpus['name'])}, SHA-256 {plain(checkpoint.corpus['sha256'][:16])}…",
    }


def _bundle(claim: Claim) -> dict[str, str]:
    recipe, certificate = claim.recipe, claim.certificate
    corpus = claim.provenance.get("corpus")
    return {
        "bundle": f"{claim.size:,} bytes, weights SHA-256 {claim.tensors_sha256[:16]}…",
        **_model(claim.config, claim.vocabulary),
        "corpus": plain(str(corpus["name"])) if isinstance(corpus, Mapping) and "name" in corpus else "not said",
        "prompt": repr(claim.prompt),
        "recipe": f"temperature {recipe.temperature / 100:g}, top-k {recipe.top_k}, seed {recipe.seed}",
        "certificate": f"smallest gap {certificate.smallest_gap:.3g} at token {certificate.position} "
        f"of {certificate.tokens} (claimed; `arena verify` checks it)",
        "verse": "\n" + claim.text,
    }


def shape_of(config: ModelConfig) -> str:
    """A model's shape in words."""
    layers, heads = counted(config.n_layer, "layer"), counted(config.n_head, "head")
    return (
        f"{config.arch}, {layers}, {heads}, width {config.n_embd}, context {config.block_size}: "
        f"{config.n_params:,} weights"
    )


def _model(config: ModelConfig, vocabulary: Vocabulary) -> dict[str, str]:
    return {
        "model": shape_of(config),
        "tokenizer": f"{vocabulary.kind}, {vocabulary.size:,} tokens",
        "longest verse": f"{longest_verse(config):,} tokens",
    }


def _is_checkpoint(path: Path) -> bool:
    with path.open("rb") as file:
        return f'"{METADATA_KEY}":'.encode() in file.read(PEEK)


def _table(rows: Mapping[str, Any]) -> str:
    return "\n".join(f"{name:<14} {value}" for name, value in rows.items())
