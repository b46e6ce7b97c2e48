"""A run's folder: what lies where, and its records as JSON lines."""

from __future__ import annotations

import itertools
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from trainer.config import TrainConfig
from trainer.errors import RunError, TrainerError
from trainer.metrics import Marks
from trainer.text import pasted
from trainer.verse import strictjson
from trainer.verse.errors import VerseError
from trainer.verse.files import write_atomically

RUNS = Path("runs")
NOISE = 0.01  # nats
METRICS = {"step": int, "context": int, "seconds": float, "learning_rate": float, "train_loss": float}  # of each line
MARKS = {field.name for field in fields(Marks)}


@dataclass(frozen=True)
class Run:
    """The files of one training run."""

    path: Path

    @property
    def config(self) -> Path:
        """What was asked for: a `TrainConfig`, and the corpus's name and digest."""
        return self.path / "config.json"

    @property
    def plan(self) -> Path:
        """How many steps, and when to evaluate."""
        return self.path / "plan.json"

    @property
    def metrics(self) -> Path:
        """Losses on the way, one JSON object a line."""
        return self.path / "metrics.jsonl"

    @property
    def best(self) -> Path:
        """The checkpoint with the lowest validation loss."""
        return self.path / "best.safetensors"

    @property
    def last(self) -> Path:
        """The newest checkpoint, with all that is needed to go on."""
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
    """Whether a run may go there.

    Raises:
        RunError: it exists and is not an empty folder.
    """
    if out is not None and out.exists() and (not out.is_dir() or any(out.iterdir())):
        is_run = Run(out).config.exists()
        go_on = f", or go on with it: trainer train --resume {pasted([str(out)])}" if is_run else ""
        raise RunError(f"{out} is {'not empty' if out.is_dir() else 'a file'}: choose another --out{go_on}")


def corpus_changed(name: str, folder: Path) -> RunError:
    """What to say where a run's text is another one now."""
    return RunError(f"the corpus {name} has changed since {folder} began: put the old text back")


def new_run(out: Path | None, corpus: str, preset: str) -> Run:
    """Make a fresh folder, runs/<corpus>-<preset>-<n> unless `out` names one.

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
            continue  # also where another run took the number this very moment
        return Run(path)
    raise AssertionError("numbers do not end")


def write_config(run: Run, config: TrainConfig, corpus: Mapping[str, Any]) -> None:
    """Write config.json, whole or not at all."""
    write_atomically(run.config, _pretty({"format": 1, "train": config.to_dict(), "corpus": dict(corpus)}))


def read_config(run: Run) -> tuple[TrainConfig, Mapping[str, Any]]:
    """What `write_config` wrote: the config, and the corpus's record.

    Raises:
        RunError: it is missing or damaged.
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
                    "marks": dict(marks),
                } as corpus,
            } if marks.keys() == MARKS and all(isinstance(mark, float) for mark in marks.values()):
                return TrainConfig.from_dict(train), corpus
        raise RunError("it does not hold what `trainer train` writes")
    except (FileNotFoundError, NotADirectoryError):
        raise RunError(f"{run.path} is no run: it has no {run.config.name}. Give the folder of a run") from None
    except (ValueError, TrainerError, VerseError) as error:
        raise RunError(f"{run.config} is damaged: {error}") from None


def record(run: Run, metrics: Mapping[str, Any]) -> None:
    """Add a line to the metrics."""
    with run.metrics.open("ab") as file:
        file.write(json.dumps(metrics).encode() + b"\n")


def read_metrics(run: Run) -> list[dict[str, Any]]:
    """All lines; a last one that a killed process left unfinished is not among them.

    Raises:
        RunError: a line is none that `trainer train` writes.
    """
    if not run.metrics.exists():
        return []
    lines = run.metrics.read_bytes().split(b"\n")[:-1]
    try:
        return [_metrics_of(strictjson.parse(line)) for line in lines]
    except ValueError as error:
        raise RunError(f"{run.metrics} is damaged: {error}") from None


def _metrics_of(line: object) -> dict[str, Any]:
    kinds = METRICS | {"val_loss": float}
    if not isinstance(line, dict) or not METRICS.keys() <= line.keys() <= kinds.keys():
        raise ValueError("it has a line that `trainer train` does not write")
    if not all(type(value) is kinds[name] for name, value in line.items()):
        raise ValueError("it has a value that `trainer train` does not write")
    return line


def points(run: Run, name: str) -> list[tuple[int, float]]:
    """A curve of the metrics, "train_loss" or "val_loss": step and loss.

    Raises:
        RunError: it has no point yet.
    """
    found = [(line["step"], line[name]) for line in read_metrics(run) if name in line]
    if not found:
        raise RunError(f"{run.path} has no curve yet: it was never evaluated")
    return found


def sizes(run: Run) -> dict[str, int]:
    """Bytes of the records that grow, by name: what a checkpoint remembers of them."""
    return {path.name: path.stat().st_size for path in (run.metrics, run.samples) if path.exists()}


def cut_back(run: Run, sizes: Mapping[str, int]) -> None:
    """Forget what was recorded after a checkpoint, which a resumed run records again. Without a size: everything."""
    for path in (run.metrics, run.samples):
        if path.exists():
            os.truncate(path, min(sizes.get(path.name, 0), path.stat().st_size))


@dataclass(frozen=True)
class Rise:
    """Of the validation loss after its best."""

    by: float  # nats a token
    over_fitting: bool  # the training loss went on falling: the text was learned by heart


def rise_of(metrics: Sequence[Mapping[str, Any]], block_size: int) -> Rise | None:
    """How far the validation loss rose until the last evaluation; None if that may be noise.

    None, too, while the context is short: what lies beyond it gets worse, until the whole context comes.

    Args:
        metrics: of a run that was evaluated, by step.
    """
    evaluated = [line for line in metrics if "val_loss" in line]
    best, last = min(evaluated, key=lambda line: float(line["val_loss"])), evaluated[-1]
    by = last["val_loss"] - best["val_loss"]
    if by <= NOISE or last["context"] < block_size:
        return None
    return Rise(by, last["train_loss"] < best["train_loss"])


def add_sample(run: Run, step: int, val_loss: float, text: str) -> None:
    """Add what the model wrote."""
    with run.samples.open("ab") as file:
        file.write(f"--- step {step:,}, validation loss {val_loss:.3f}\n{text}\n\n".encode())


def _pretty(data: object) -> bytes:
    return json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False).encode() + b"\n"
