"""Checkpoints: one safetensors file each, written atomically. Nothing in it is ever executed.

The metadata has one key, so that equal content gives equal bytes. `best` holds a model and its provenance; `last` also
holds the optimizer's state and the numbers that the training loop needs to resume. A bundle holds a model in float16,
and is read as a checkpoint, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from trainer.errors import CheckpointError, TrainerError
from trainer.plan import Plan
from trainer.text import shell_join
from trainer.verse import strictjson
from trainer.verse.bundle import Bundle, read_bundle
from trainer.verse.claim import METADATA_KEY as BUNDLE_KEY
from trainer.verse.config import ModelConfig
from trainer.verse.errors import VerseError
from trainer.verse.files import write_atomically
from trainer.verse.model import check_tensors
from trainer.verse.vocabulary import Vocabulary

FORMAT = 1
METADATA_KEY = "checkpoint"
OPTIMIZER = "optimizer/"  # before the names of its tensors

Tensors = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Checkpoint:
    """A model at one step."""

    config: ModelConfig
    vocabulary: Vocabulary
    step: int  # updates done
    val_loss: float | None  # nats per token; None: not evaluated at this step
    corpus: Mapping[str, Any]  # "name" and "sha256" of the text as used; "tokens_per_character"
    provenance: Mapping[str, Any]  # plain data, as a bundle will carry it
    weights: Tensors  # float32, by name


@dataclass(frozen=True)
class Resume:
    """What a run needs beside its model to resume as if it had never stopped."""

    plan: Plan  # with all revisions so far
    train_state: Mapping[str, Any]  # the loop's own numbers, plain data
    optimizer: Tensors = field(default_factory=dict)  # as `optim.state_of` returns it


def write_checkpoint(path: Path, checkpoint: Checkpoint, resume: Resume | None = None) -> None:
    """Write a checkpoint atomically.

    Args:
        path: The file.
        checkpoint: The model.
        resume: What is needed to resume; None for a model alone.

    Raises:
        OSError: It could not be written; `path` is unchanged.
    """
    description: dict[str, Any] = {
        "format": FORMAT,
        "config": checkpoint.config.to_dict(),
        "tokenizer": checkpoint.vocabulary.to_dict(),
        "step": checkpoint.step,
        "val_loss": checkpoint.val_loss,
        "corpus": dict(checkpoint.corpus),
        "provenance": dict(checkpoint.provenance),
    }
    tensors = dict(checkpoint.weights)
    if resume is not None:
        description["resume"] = {"plan": resume.plan.to_dict(), "train_state": dict(resume.train_state)}
        tensors |= {OPTIMIZER + name: tensor for name, tensor in resume.optimizer.items()}
    write_atomically(path, save(tensors, metadata={METADATA_KEY: strictjson.dump(description).decode()}))


def read_checkpoint(path: Path) -> Checkpoint:
    """Read and check a checkpoint: the best one of a run's folder, a file, or the model of a bundle.

    Raises:
        CheckpointError: It is missing, damaged, or not a checkpoint.
    """
    return _read(path)[0]


def read_resume(path: Path) -> tuple[Checkpoint, Resume]:
    """Read and check a checkpoint that a run can resume from.

    Raises:
        CheckpointError: It is missing, damaged, not a checkpoint, or holds a model alone.
    """
    checkpoint, resume = _read(path)
    if resume is None:
        raise CheckpointError(f"{path} holds a model, but not what is needed to resume its training")
    return checkpoint, resume


def _read(path: Path) -> tuple[Checkpoint, Resume | None]:
    if path.is_dir():
        if not (path / "config.json").exists():
            raise CheckpointError(f"{path} is not a run: give the folder of a run, or a checkpoint file")
        path = path / "best.safetensors"
        if not path.exists():
            raise CheckpointError(
                f"{path.parent} has no checkpoint yet, since it was never evaluated: "
                f"resume it with trainer train --resume {shell_join([str(path.parent)])}"
            )
    if not path.is_file():
        raise CheckpointError(f"there is no checkpoint {path}: give the folder of a run, or a checkpoint file")
    try:
        with safe_open(path, framework="np") as file:
            metadata = file.metadata() or {}
            if set(metadata) == {BUNDLE_KEY}:
                return _from_bundle(read_bundle(path)), None
            if set(metadata) != {METADATA_KEY}:
                raise CheckpointError("it is neither a checkpoint of this trainer nor a bundle")
            description = strictjson.parse(metadata[METADATA_KEY].encode())
            names = list(file.keys())
            dtypes = {name: file.get_slice(name).get_dtype() for name in names}
            if wrong := sorted(name for name in names if dtypes[name] != "F32"):
                raise CheckpointError(f"its tensor {wrong[0]} has the type {dtypes[wrong[0]]}, not F32")
            tensors = {name: file.get_tensor(name) for name in names}
        return _parse(description, tensors)
    except (SafetensorError, ValueError, TrainerError, VerseError) as error:
        raise CheckpointError(f"{path} cannot be used: {error}") from None


def _from_bundle(bundle: Bundle) -> Checkpoint:
    """Return the checkpoint that a bundle was made from.

    Raises:
        CheckpointError: Its provenance does not tell the steps and the corpus.
    """
    claim = bundle.claim
    step, val_loss, corpus = training_record(claim.provenance)
    weights = {name: weight.astype(np.float32) for name, weight in bundle.weights.items()}
    return Checkpoint(claim.config, claim.vocabulary, step, val_loss, corpus, claim.provenance, weights)


def training_record(provenance: Mapping[str, Any]) -> tuple[int, float | None, Mapping[str, Any]]:
    """Return what a bundle's provenance tells of the training: the step, the validation loss, the corpus's record.

    The loss is None if the loss curve does not hold this step.

    Raises:
        CheckpointError: There is no step or no corpus.
    """
    match provenance:
        case {"steps": int(step), "corpus": {"name": str(), "sha256": str()} as corpus, **rest} if step >= 0:
            curve = rest.get("loss_curve", [])
        case _:
            raise CheckpointError("the bundle does not tell the steps and the corpus of its training")
    for point in curve if isinstance(curve, list) else []:
        match point:
            case [int(at), _, float(val_loss)] if at == step:
                return step, val_loss, corpus
    return step, None, corpus


def _parse(description: object, tensors: dict[str, NDArray[np.float32]]) -> tuple[Checkpoint, Resume | None]:
    match description:
        case {
            "format": 1,
            "config": config_data,
            "tokenizer": tokenizer_data,
            "step": int(step),
            "val_loss": float() | None as val_loss,
            "corpus": {"name": str(), "sha256": str()} as corpus,
            "provenance": dict(provenance),
            **rest,
        } if not set(rest) - {"resume"}:
            config = ModelConfig.from_dict(config_data)
            vocabulary = Vocabulary.from_dict(tokenizer_data)
        case {"format": number} if number != FORMAT:
            raise CheckpointError(f"it has format {number!r}; this trainer reads format {FORMAT}: update the trainer")
        case _:
            raise CheckpointError("its metadata is not what `trainer train` writes")
    if vocabulary.size != config.vocab_size:
        raise CheckpointError(f"its tokenizer has {vocabulary.size} tokens, its model {config.vocab_size}")
    if step < 0:
        raise CheckpointError(f"it has the negative step {step}")
    weights = {name: tensor for name, tensor in tensors.items() if not name.startswith(OPTIMIZER)}
    check_tensors(config, weights, np.float32, float(np.finfo(np.float32).max))
    checkpoint = Checkpoint(config, vocabulary, step, val_loss, corpus, provenance, weights)
    if "resume" not in rest:
        if len(weights) != len(tensors):
            raise CheckpointError("it holds an optimizer's tensors, but no state to resume")
        return checkpoint, None
    match rest["resume"]:
        case {"plan": plan, "train_state": dict(train_state), **rest} if not rest:
            optimizer = {name.removeprefix(OPTIMIZER): t for name, t in tensors.items() if name.startswith(OPTIMIZER)}
            return checkpoint, Resume(Plan.from_dict(plan), train_state, optimizer)
    raise CheckpointError("its state to resume is not what `trainer train` writes")
