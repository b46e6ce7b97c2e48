"""Trains the model of a bundle again, from the nonce and the plan that its record names, and compares the two.

The record is untrusted: its author wrote it. It names no file: the text is found by its digest, among the corpora that
come along and the files that the user names.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch

from trainer.checkpoint import read_checkpoint, training_record
from trainer.checks.comparison import Comparison
from trainer.checks.retraining import Estimate, Point, Retrained, compare, not_comparable, unlike
from trainer.config import TrainConfig
from trainer.corpus import KNOWN_CORPORA, Corpus, is_available, load_corpus
from trainer.dataset import Dataset, load_dataset
from trainer.device import denormals_as_zero, describe_device, find_device
from trainer.errors import Diverged, Interrupted, RetrainError, TrainerError
from trainer.loss import get_batch, validation_loss
from trainer.model import load_weights, new_model
from trainer.optim import make_optimizers
from trainer.plan import Plan, write_plan
from trainer.runtime.budget import rehearse_step
from trainer.runtime.clock import RunClock
from trainer.runtime.compilation import compile_obstacle
from trainer.runtime.distributed import SINGLE_PROCESS
from trainer.runtime.gradients import gradient_function
from trainer.runtime.run import Run, read_config, read_metrics, write_config
from trainer.runtime.state import start_state
from trainer.text import pluralize
from trainer.train import run_loop
from trainer.verse.bundle import Bundle
from trainer.verse.errors import VerseError, WeightsError
from trainer.verse.model import round_weights
from trainer.verse.text import sanitize

ASK_SECONDS = 600.0  # a training that takes longer is asked about
MAX_REVISIONS = 1_000  # of a plan; honest runs have tens
MAX_EVALUATIONS = 10_000  # likewise
LATER_SETTINGS = ("encoding", "strip_gutenberg", "nonce", "owner")  # that the first records do not have
PROBE_SECONDS = 2.0  # of measuring, after the first step
EVALUATION_SHARE = 0.35  # of the time of a step with as many tokens
MEMORY_BASE = 700 * 2**20  # bytes: Python, torch and a corpus
STATE_BYTES = 28  # for each weight: itself, gradient, two of the optimizer, and copies while it is saved
COMPILE_SECONDS = 60.0


@dataclass(frozen=True)
class Record:
    """What a bundle tells of its training, checked as far as that is possible without training."""

    config: TrainConfig  # as it was
    plan: Plan  # until the bundle's step
    steps: int  # updates of the bundle's weights
    curve: tuple[Point, ...]
    digest: str  # of the text
    name: str  # of the text; untrusted


class RecordError(Exception):
    """A record that contradicts itself or the bundle: that is a result, not a failure."""


def read_record(bundle: Bundle) -> Record:
    """Return what a bundle tells of its training.

    Raises:
        RetrainError: It does not tell enough to train it again.
        RecordError: What it tells cannot be true of this bundle.
    """
    provenance, claim = bundle.claim.provenance, bundle.claim
    if missing := [name for name in ("train", "plan", "steps", "corpus") if name not in provenance]:
        raise RetrainError(f"the bundle's record has no {missing[0]}: it cannot be trained again")
    train = provenance["train"]
    train = {name: getattr(TrainConfig, name) for name in LATER_SETTINGS} | (train if isinstance(train, dict) else {})
    if set(train) != set(TrainConfig.__dataclass_fields__):
        raise RetrainError("the bundle's record has other settings than this version knows: it cannot be trained again")
    try:
        steps, _, corpus = training_record(provenance)
        config = TrainConfig.from_dict(train)
        plan = Plan.from_dict(provenance["plan"])
        model = config.model(claim.config.vocab_size)
    except (TrainerError, VerseError) as error:
        raise RecordError(f"the record is not one that `trainer train` writes: {error}") from None
    curve = tuple(_read_curve(provenance.get("loss_curve", [])))
    if model != claim.config or config.tokenizer != claim.vocabulary.kind:
        raise RecordError("the record is about a model of another shape, or with another kind of tokenizer")
    if type(steps) is not int or not 1 <= steps <= plan.steps or plan.revisions[-1].at_step >= steps:
        raise RecordError(f"the plan ends at step {plan.steps:,}, and the bundle is said to be of step {steps:,}")
    if len(plan.revisions) > MAX_REVISIONS or count_evaluations(plan) > MAX_EVALUATIONS:
        raise RecordError("the plan has more revisions or evaluations than any that `trainer train` writes")
    if wrong := [step for step, *_ in curve if step > steps or not plan.evaluates_at(step)]:
        raise RecordError(f"the curve has a point at step {wrong[0]:,}, where the plan evaluates nothing")
    return Record(config, plan, steps, curve, corpus["sha256"], corpus["name"])


def _read_curve(points: Sequence[object]) -> list[Point]:
    """Read the points of a curve.

    Raises:
        RecordError: One is no point, or they are not in order.
    """
    curve: list[Point] = []
    for point in points:
        match point:
            case [int(step), float(train), float(val)] if type(step) is int and step > 0:
                curve.append((step, train, val))
            case _:
                raise RecordError("the curve has a point that is not a step and two losses")
    if any(a[0] >= b[0] for a, b in pairwise(curve)):
        raise RecordError("the points of the curve are not in order")
    return curve


def count_evaluations(plan: Plan) -> int:
    """Return about how many evaluations a plan has in all."""
    ends = [*(revision.at_step for revision in plan.revisions[1:]), plan.steps]
    return sum(
        (end - revision.at_step) // revision.interval(plan.round_start(revision.at_step)) + 1
        for revision, end in zip(plan.revisions, ends, strict=True)
    )


def find_text(record: Record, files: Sequence[Path]) -> Corpus:
    """Return the text that a model was trained on, by its digest.

    Args:
        record: Of the bundle.
        files: That the user names: the text is all of them together.

    Raises:
        RetrainError: It is not here.
        CorpusError: A file cannot be read.
    """
    if files:
        source = "\n".join(str(path) for path in files)
        corpus = load_corpus(source, record.config.encoding, record.config.strip_gutenberg)
        if corpus.sha256 == record.digest:
            return corpus
        raise RetrainError(
            f"this is not the text of the training: its SHA-256 is {corpus.sha256[:16]}…, the record's "
            f"{sanitize(record.digest[:16])}…"
        )
    for name in KNOWN_CORPORA:
        if is_available(name) and (corpus := load_corpus(name)).sha256 == record.digest:
            return corpus
    known = record.name in KNOWN_CORPORA
    raise RetrainError(
        f"the text of the training, “{sanitize(record.name[:60])}”, is not known here: "
        + (f"trainer corpus fetch {record.name}" if known else "give it with --corpus FILE")
    )


def adapt(config: TrainConfig, plan: Plan, corpus: Corpus) -> tuple[TrainConfig, Plan, str]:
    """Return the config and the plan as this machine can follow them, and why the bits may then differ; "" for none.

    Args:
        config: Of the record.
        plan: Of the record.
        corpus: The text.
    """
    why, device = [], config.device
    try:
        find_device(device)
    except TrainerError:
        device = "cpu"
        why.append(f"this computer has no {config.device}")
    if config.device != "cpu":
        why.append("on a graphics card, sums are not always the same")
    if config.compile:
        why.append("it was trained compiled, and compilers round sums in different ways")
    if config.processes > 1:
        why.append(f"it was trained by {config.processes} processes, and again by one")
    most = os.cpu_count() or 1
    threads = max(config.threads, *(revision.threads for revision in plan.revisions))
    if threads > most:
        why.append(f"it was trained with {pluralize(threads, 'thread')}, and this computer has {most}")
    revisions = tuple(replace(revision, threads=min(revision.threads, most)) for revision in plan.revisions)
    adapted = replace(
        config,
        corpus=corpus.source,
        device=device,
        processes=1,
        threads=min(config.threads, most),
        early_stop=False,  # the plan says when it ended
    )
    if config.compile and compile_obstacle(adapted):
        adapted = replace(adapted, compile=False)
    return adapted, Plan(revisions), "; ".join(why)


def needed_memory(config: TrainConfig, vocab_size: int) -> int:
    """Return about how many bytes a training uses at most; more than measured.

    Args:
        config: What is trained.
        vocab_size: Tokens of its vocabulary.
    """
    model = config.model(vocab_size)
    tokens = config.batch_size * config.block_size
    activations = 4 * tokens * model.n_layer * (40 * model.n_embd + 4 * model.n_head * config.block_size)
    return MEMORY_BASE + STATE_BYTES * model.n_params + activations + 16 * tokens * vocab_size


def estimate(config: TrainConfig, plan: Plan, steps: int, dataset: Dataset, clock: Callable[[], float]) -> Estimate:
    """Measure how long training takes here: first a step of one sequence, then as many as the time allows.

    Args:
        config: What is trained.
        plan: How long.
        steps: Updates.
        dataset: Its data.
        clock: Seconds from any fixed moment.
    """
    model = new_model(dataset.model_config, dataset.key, config.dropout, config.precision).to(dataset.device)
    optimizers = make_optimizers(model, config)
    torch.set_num_threads(config.threads)

    compute_gradients = gradient_function(model, config)

    def seconds_of(rows: int) -> float:
        x, y = get_batch(dataset.train, dataset.key, 0, rows, config.block_size)
        times = []
        for _ in range(2):  # the first loads kernels, and on a card records them
            start = clock()
            rehearse_step(compute_gradients, optimizers, x, y, 1).item()
            times.append(clock() - start)
        return min(times)

    rows, seconds = 1, seconds_of(1)
    while rows < config.batch_size and 4 * seconds < PROBE_SECONDS:
        rows = min(config.batch_size, 4 * rows)
        seconds = seconds_of(rows)
    step = seconds * config.batch_size / rows
    tokens = config.batch_size * config.block_size
    evaluation = EVALUATION_SHARE * step * len(dataset.val) / tokens
    total = steps * step + count_evaluations(plan) * steps / plan.steps * evaluation
    return Estimate(total + COMPILE_SECONDS * config.compile, needed_memory(config, dataset.model_config.vocab_size))


@dataclass(frozen=True)
class Prepared:
    """A bundle that can be trained again here."""

    bundle: Bundle
    record: Record
    config: TrainConfig  # as this machine can follow it
    plan: Plan
    dataset: Dataset
    obstacle: str  # why the bits may differ
    estimate: Estimate


def prepare(bundle: Bundle, files: Sequence[Path], clock: Callable[[], float] = time.monotonic) -> Prepared:
    """Find what training a bundle again needs, and how long it takes.

    Args:
        bundle: The file.
        files: The text that it was trained on; none for one that comes along.
        clock: Seconds from any fixed moment.

    Raises:
        RetrainError: The record does not tell enough, the text is not here, or memory is too small.
        RecordError: What the record tells cannot be true of this bundle.
        CorpusError: A file cannot be read.
    """
    record = read_record(bundle)
    corpus = find_text(record, files)
    config, plan, obstacle = adapt(record.config, record.plan, corpus)
    needed = needed_memory(config, bundle.claim.config.vocab_size)
    if config.device == "cpu" and needed > (free := free_memory()):
        raise RetrainError(
            f"training it again needs about {needed / 2**30:,.1f} GiB of memory, and {free / 2**30:,.1f} GiB are free"
        )
    try:
        dataset = load_dataset(config)
    except (TrainerError, VerseError) as error:
        raise RecordError(f"with this text there is no such training: {error}") from None
    if dataset.tokenizer.vocabulary != bundle.claim.vocabulary:
        raise RecordError("the text gives another tokenizer than the bundle has")
    obstacle = obstacle or unlike(bundle.claim.provenance, describe_device(config.device))
    return Prepared(
        bundle, record, config, plan, dataset, obstacle, estimate(config, plan, record.steps, dataset, clock)
    )


def free_memory() -> int:
    """Return the bytes of memory that are free now."""
    import psutil

    return int(psutil.virtual_memory().available)


def retrain(prepared: Prepared) -> list[Comparison]:
    """Train a bundle's model again, in a folder that is removed afterwards, and compare the two.

    Raises:
        WriteError: The folder cannot be written.
        Interrupted: Ctrl-C was pressed; nothing is kept.
    """
    record, dataset, bundle = prepared.record, prepared.dataset, prepared.bundle
    with tempfile.TemporaryDirectory(prefix="retrain-", ignore_cleanup_errors=True) as folder:
        run = Run(Path(folder))
        write_plan(run.plan, prepared.plan)
        write_config(run, prepared.config, dataset.corpus_record | {"baselines": asdict(dataset.baselines)})
        state = start_state(run, read_config(run)[0], dataset, prepared.plan, SINGLE_PROCESS)
        try:
            run_loop(state, prepared.plan, None, None, RunClock(), until=record.steps)
            weights = round_weights(bundle.claim.config, read_checkpoint(run.last).weights)
        except Interrupted:
            raise Interrupted("stopped; nothing is kept") from None
        except (Diverged, WeightsError):
            return not_comparable("trained as the record says, the model diverges")
        curve = tuple(
            (line["step"], line["train_loss"], line["val_loss"]) for line in read_metrics(run) if "val_loss" in line
        )
    new, old = (measure_loss(prepared, one) for one in (weights, bundle.weights))
    return compare(bundle, record.curve, Retrained(curve, weights, new, old, prepared.obstacle))


def measure_loss(prepared: Prepared, weights: Mapping[str, Any]) -> float:
    """Return the loss of some weights on the validation split, in nats per token."""
    dataset, config = prepared.dataset, prepared.bundle.claim.config
    model = new_model(config, dataset.key, precision=prepared.config.precision).to(dataset.device)
    load_weights(model, ((name, weight.astype(np.float32)) for name, weight in weights.items()))
    return validation_loss(model, dataset.val, config.block_size, config.vocab_size)


@denormals_as_zero()
def retrain_bundle(
    bundle: Bundle, files: Sequence[Path], accept: Callable[[Estimate], bool]
) -> tuple[Estimate | None, list[Comparison] | None]:
    """Train a bundle's model again and compare the two, if that is accepted.

    Args:
        bundle: The file.
        files: As for `prepare`.
        accept: Is asked once it is known what it would take.

    Returns:
        What it takes, None if a record that contradicts itself needed no training; and what was compared, None if it
        was not accepted.

    Raises:
        TrainerError: It cannot be trained again here, or was interrupted.
    """
    try:
        prepared = prepare(bundle, files)
    except RecordError as error:
        return None, not_comparable(sanitize(str(error)))
    if not accept(prepared.estimate):
        return prepared.estimate, None
    return prepared.estimate, retrain(prepared)
