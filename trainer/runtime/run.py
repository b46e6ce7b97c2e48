"""A run's folder: its files, and its records as JSON lines."""

from __future__ import annotations

import contextlib
import errno
import itertools
import json
import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from trainer.config import TrainConfig
from trainer.errors import RunError, TrainerError, WriteError
from trainer.metrics import Baselines
from trainer.text import shell_join
from trainer.verse import strictjson
from trainer.verse.errors import VerseError
from trainer.verse.files import write_atomically

RUNS = Path("runs")
NOISE = 0.01  # nats: a smaller rise of the validation loss may be chance
METRICS = {"step": int, "context": int, "seconds": float, "learning_rate": float, "train_loss": float}  # of each line
RETRY_SECONDS = 15.0  # a network drive that is gone for longer will not be back soon
RETRY_PAUSE = 0.5  # seconds between two attempts
BASELINES = {field.name for field in fields(Baselines)}


@dataclass(frozen=True)
class Run:
    """The files of one training run."""

    path: Path

    @property
    def config(self) -> Path:
        """The run's `TrainConfig`, and the record of its corpus."""
        return self.path / "config.json"

    @property
    def plan(self) -> Path:
        """How many steps, and when to evaluate."""
        return self.path / "plan.json"

    @property
    def metrics(self) -> Path:
        """Losses by step, one JSON object per line."""
        return self.path / "metrics.jsonl"

    @property
    def best(self) -> Path:
        """The checkpoint with the lowest validation loss."""
        return self.path / "best.safetensors"

    @property
    def last(self) -> Path:
        """The newest checkpoint, with all that is needed to resume."""
        return self.path / "last.safetensors"

    @property
    def samples(self) -> Path:
        """What the model wrote at each evaluation."""
        return self.path / "samples.txt"

    @property
    def curve(self) -> Path:
        """The losses as a picture."""
        return self.path / "curve.png"


def check_out(out: Path | None) -> None:
    """Refuse a folder that a new run cannot use.

    Raises:
        RunError: It exists and is not an empty folder.
    """
    if out is not None and out.exists() and (not out.is_dir() or any(out.iterdir())):
        is_run = Run(out).config.exists()
        hint = f", or resume it: trainer train --resume {shell_join([str(out)])}" if is_run else ""
        raise RunError(f"{out} is {'not empty' if out.is_dir() else 'a file'}: choose another --out{hint}")


def corpus_changed(name: str, folder: Path) -> RunError:
    """Return the error of a run whose corpus is another text now."""
    return RunError(f"the corpus {name} has changed since {folder} was started: put the old text back")


def unfinished(run: Run, step: int, steps: int) -> RunError:
    """Return the error of a run that is to get a further round before its end.

    Args:
        run: The run's folder.
        step: Updates done.
        steps: Updates planned.
    """
    return RunError(
        f"{run.path} is at step {step:,} of {steps:,}: finish it first with trainer train --resume "
        f"{shell_join([str(run.path)])}, then add --minutes or --steps to train it further"
    )


def new_run(out: Path | None, corpus: str, preset: str) -> Run:
    """Make the folder of a new run.

    Args:
        out: The folder; None for the first free runs/<corpus>-<preset>-<n>.
        corpus: The corpus's name.
        preset: The preset's name.

    Raises:
        RunError: `out` exists and is not empty.
    """
    if out is not None:
        check_out(out)
        out.mkdir(parents=True, exist_ok=True)
        return Run(out)
    name = re.sub(r"[^\w.-]+", "-", corpus).strip("-.")[:40] or "corpus"
    RUNS.mkdir(exist_ok=True)
    for number in itertools.count(1):
        path = RUNS / f"{name}-{preset}-{number}"
        try:
            path.mkdir()
        except FileExistsError:
            continue  # another run may have taken the number just now
        return Run(path)
    raise AssertionError("unreachable: the numbers have no end")


def write_config(run: Run, config: TrainConfig, corpus: Mapping[str, Any]) -> None:
    """Write config.json atomically.

    Args:
        run: The run's folder.
        config: What to train.
        corpus: The corpus's record, with its baselines.
    """
    write_atomically(run.config, _pretty({"format": 1, "train": config.to_dict(), "corpus": dict(corpus)}))


def read_config(run: Run) -> tuple[TrainConfig, Mapping[str, Any]]:
    """Read what `write_config` wrote: the config, and the corpus's record.

    Raises:
        RunError: It is missing or damaged.
    """
    try:
        match strictjson.parse(run.config.read_bytes()):
            case {
                "format": 1,
                "train": train,
                "corpus": {
                    "name": str(),
                    "sha256": str(),
                    "tokens_per_character": float(),
                    "baselines": dict(baselines),
                } as corpus,
            } if baselines.keys() == BASELINES and all(isinstance(loss, float) for loss in baselines.values()):
                return TrainConfig.from_dict(train), corpus
        raise RunError("it does not hold what `trainer train` writes")
    except (FileNotFoundError, NotADirectoryError):
        raise RunError(f"{run.path} is not a run: it has no {run.config.name}. Give the folder of a run") from None
    except (ValueError, TrainerError, VerseError) as error:
        raise RunError(f"{run.config} is damaged: {error}") from None


def persist(run: Run, write: Callable[..., object], *arguments: object) -> None:
    """Write to the folder of a run in progress; while that fails, try again for `RETRY_SECONDS`.

    Args:
        run: The run's folder.
        write: Writes one file whole or not at all.
        arguments: For `write`.

    Raises:
        WriteError: The folder is gone, or the disk is full.
    """
    deadline = time.monotonic() + RETRY_SECONDS
    while True:
        try:
            if not run.config.exists():  # where a drive was mounted, there may be an empty folder now
                raise FileNotFoundError(errno.ENOENT, "the folder is gone")
            write(*arguments)
        except OSError as error:
            if time.monotonic() > deadline:
                raise WriteError(error.strerror or str(error)) from None
            time.sleep(RETRY_PAUSE)
        else:
            return


def append_metrics(run: Run, metrics: Mapping[str, Any]) -> None:
    """Append a line to the metrics."""
    _append(run.metrics, json.dumps(metrics).encode() + b"\n")


def read_metrics(run: Run) -> list[dict[str, Any]]:
    """Return all complete lines; a last line that a killed process left incomplete is ignored.

    Raises:
        RunError: A line is not one that `trainer train` writes.
    """
    if not run.metrics.exists():
        return []
    lines = run.metrics.read_bytes().split(b"\n")[:-1]
    try:
        return [_check_metrics(strictjson.parse(line)) for line in lines]
    except ValueError as error:
        raise RunError(f"{run.metrics} is damaged: {error}") from None


def _check_metrics(line: object) -> dict[str, Any]:
    types = METRICS | {"val_loss": float}
    if not isinstance(line, dict) or not METRICS.keys() <= line.keys() <= types.keys():
        raise ValueError("it has a line that `trainer train` does not write")
    if not all(type(value) is types[name] for name, value in line.items()):
        raise ValueError("it has a value that `trainer train` does not write")
    return line


def loss_curve(run: Run, name: str) -> list[tuple[int, float]]:
    """Return step and loss of every point of "train_loss" or "val_loss".

    Raises:
        RunError: There is no point yet.
    """
    curve = [(line["step"], line[name]) for line in read_metrics(run) if name in line]
    if not curve:
        raise RunError(f"{run.path} has no curve yet: it was never evaluated")
    return curve


def record_sizes(run: Run) -> dict[str, int]:
    """Return the bytes of the records that grow, by file name, for a checkpoint."""
    return {path.name: path.stat().st_size for path in (run.metrics, run.samples) if path.exists()}


def truncate_records(run: Run, sizes: Mapping[str, int]) -> None:
    """Remove what was recorded after a checkpoint, since a resumed run records it again.

    Args:
        run: The run's folder.
        sizes: Bytes to keep by file name; a file without a size is emptied.
    """
    for path in (run.metrics, run.samples):
        if path.exists():
            os.truncate(path, min(sizes.get(path.name, 0), path.stat().st_size))


@dataclass(frozen=True)
class LossRise:
    """A rise of the validation loss after its best value."""

    amount: float  # nats per token
    over_fitting: bool  # the training loss kept falling: the model memorized the corpus


def loss_rise(metrics: Sequence[Mapping[str, Any]], block_size: int) -> LossRise | None:
    """Return how far the validation loss rose until the last evaluation; None if that may be chance.

    It is None, too, while the context is shorter than the longest: later positions get worse until that one begins.

    Args:
        metrics: Lines of a run that was evaluated, by step.
        block_size: The longest context, in tokens.
    """
    evaluated = [line for line in metrics if "val_loss" in line]
    best, last = min(evaluated, key=lambda line: float(line["val_loss"])), evaluated[-1]
    amount = last["val_loss"] - best["val_loss"]
    if amount <= NOISE or last["context"] < block_size:
        return None
    return LossRise(amount, last["train_loss"] < best["train_loss"])


def append_sample(run: Run, step: int, val_loss: float, text: str) -> None:
    """Append what the model wrote.

    Args:
        run: The run's folder.
        step: Updates done.
        val_loss: At this step, in nats per token.
        text: The sample.
    """
    _append(run.samples, f"--- step {step:,}, validation loss {val_loss:.3f}\n{text}\n\n".encode())


def _append(path: Path, data: bytes) -> None:
    """Append all bytes, or none if the disk is full."""
    with path.open("ab", buffering=0) as file:
        size = file.tell()
        try:
            while data:
                data = data[file.write(data) :]
        except OSError:
            with contextlib.suppress(OSError):
                file.truncate(size)
            raise


def _pretty(data: object) -> bytes:
    return json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False).encode() + b"\n"
