"""The configuration of a run: presets, defaults and bounds. Standard library only."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from trainer.errors import OptionError
from trainer.verse.config import MAX_VOCAB_SIZE, ModelConfig

DEFAULT_MINUTES = 5.0  # when neither --minutes nor --steps is given: enough to write real words
MAX_STEPS = 10_000_000
MAX_BATCH_SIZE = 4096  # sequences a step
MAX_THREADS = 1024  # of the CPU
BATCH_TOKENS = {"cpu": 1536, "mps": 4096, "cuda": 16384}  # of a step: as few as the device processes efficiently
RATES = {"muon": 0.02, "adamw": 4e-3}  # learning rate at the width below
BASE_WIDTH = 128  # AdamW's learning rate falls with the root of the width; Muon's does not depend on it

DEVICES = ("cpu", "cuda", "mps")
OPTIMIZERS = ("muon", "adamw")
PRECISIONS = ("float32", "bf16")
TOKENIZERS = ("char", "bpe")
MIN_VOCAB_SIZE = 3  # two characters and a pair of them
DEFAULT_MERGES = 256  # tokens of a bpe tokenizer beyond the characters of the corpus


@dataclass(frozen=True)
class Preset:
    """The size of a model, and the tokenizer and the regularization that this size needs."""

    n_layer: int
    n_head: int
    n_embd: int
    block_size: int  # tokens of context
    dropout: float = 0.0
    weight_decay: float = 0.0
    momentum: float = 0.9  # higher for longer runs
    tokenizer: str = "char"
    n_merges: int = DEFAULT_MERGES  # of bpe
    short_context: int = 64  # tokens at the start: more and shorter sequences lower the loss further in a short time


PRESETS = {  # in pieces of words, a small model reads more of a text in its time; see NOTES.md
    "tiny": Preset(2, 2, 128, 256, weight_decay=0.1, tokenizer="bpe"),  # 0.6 M weights with 65 characters
    "small": Preset(4, 4, 128, 256, weight_decay=0.1, tokenizer="bpe", n_merges=512, short_context=128),  # 0.9 M
    "medium": Preset(6, 6, 384, 256, dropout=0.2, weight_decay=0.1, momentum=0.95),  # 10.7 M
    "large": Preset(12, 12, 768, 512, dropout=0.2, weight_decay=0.1, momentum=0.95),  # 85 M
}


@dataclass(frozen=True)
class TrainConfig:
    """Everything that decides a run, except its plan (how many steps) and the machine.

    Raises:
        OptionError: A value is out of bounds.
        ConfigError: No such model could be submitted.
    """

    corpus: str = "folio"  # names and paths, a line each; in the records of a run, absolute paths
    encoding: str = ""  # of the corpus's files; "": by their byte order marks, or UTF-8
    strip_gutenberg: bool = False  # leave out the frame of Project Gutenberg's books
    preset: str = "small"  # which preset the sizes came from; for information only
    tokenizer: str = "char"  # "char" or "bpe"
    vocab_size: int = 0  # requested tokens of bpe, characters included; a short corpus gives fewer. 0 for char
    arch: str = "modern"  # "modern" or "gpt2"
    n_layer: int = 4  # blocks
    n_head: int = 4  # attention heads of a block
    n_embd: int = 128  # width
    block_size: int = 256  # tokens of context
    short_context: int = 0  # tokens of context at the start, a divisor of block_size (see schedule.py); 0: block_size
    batch_size: int = 16  # sequences a step
    optimizer: str = "muon"  # "muon" for the blocks' matrices and AdamW for the rest; or "adamw" for all
    learning_rate: float = 0.02  # the highest, after the warm-up
    warmup_steps: int = 5  # updates until the learning rate is reached; at most a tenth of the run
    decay_fraction: float = 0.75  # of the run, at its end, in which the learning rate falls linearly to zero
    weight_decay: float = 0.0  # of the matrices, times the learning rate, each step
    momentum: float = 0.9  # Muon's decay of the mean gradient
    beta1: float = 0.9  # AdamW's decay of the mean gradient
    beta2: float = 0.95  # AdamW's decay of the mean squared gradient
    grad_clip: float = 1.0  # largest norm of the gradient over all weights
    dropout: float = 0.0  # share of activations dropped
    early_stop: bool = True  # end once the validation loss has risen too far above its best
    seed: int = 1337  # of the initial weights and the order of the data
    nonce: str = ""  # of the event, which keys them, too: 64 hexadecimal digits; "": trained for no event
    owner: str = ""  # id of who trains for it, 64 hexadecimal digits
    device: str = "cpu"  # "cpu", "cuda" or "mps"
    precision: str = "float32"  # of the large products while training: "float32" or "bf16"
    compile: bool = False  # by torch.compile, which changes sums in the last digits
    threads: int = 1  # CPU threads of each process at the start; sums depend on their number in the last digits
    processes: int = 1  # that train one model; sums depend on their number, and dropout, too

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.type == "float" and type(value) is int:
                object.__setattr__(self, field.name, float(value))
            elif type(value).__name__ != field.type:
                raise OptionError(f"{field.name} must be of the type {field.type}, not {value!r}")
        bounds: dict[str, tuple[float, float]] = {
            "short_context": (0, self.block_size),
            "batch_size": (1, MAX_BATCH_SIZE),
            "learning_rate": (1e-9, 10),
            "warmup_steps": (0, MAX_STEPS),
            "decay_fraction": (0, 1),
            "weight_decay": (0, 100),
            "momentum": (0, 1 - 1e-9),
            "beta1": (0, 1 - 1e-9),
            "beta2": (0, 1 - 1e-9),
            "grad_clip": (1e-9, math.inf),
            "dropout": (0, 0.9),
            "seed": (0, 2**63 - 1),
            "threads": (1, MAX_THREADS),
            "processes": (1, MAX_BATCH_SIZE),
        }
        for name, (low, high) in bounds.items():
            if not low <= getattr(self, name) <= high:
                raise OptionError(f"{name} must be {low:g} to {high:g}, not {getattr(self, name)!r}")
        for name in ("nonce", "owner"):
            if not re.fullmatch("([0-9a-f]{64})?", getattr(self, name)):
                raise OptionError(f"{name} must be 64 hexadecimal digits, or nothing")
        if bool(self.nonce) != bool(self.owner):
            raise OptionError("nonce and owner belong together: give both, or none")
        choices = {"device": DEVICES, "optimizer": OPTIMIZERS, "precision": PRECISIONS, "tokenizer": TOKENIZERS}
        for name, values in choices.items():
            if getattr(self, name) not in values:
                raise OptionError(f"{name} must be one of {', '.join(values)}, not {getattr(self, name)!r}")
        if self.short_context and self.block_size % self.short_context:
            raise OptionError(
                f"short_context must divide block_size, as {self.short_context} does not divide {self.block_size}"
            )
        if self.arch == "gpt2" and self.block_size < 2:
            raise OptionError("a gpt2 model needs a block_size of at least 2: a prompt and a token to write")
        if self.tokenizer == "char" and self.vocab_size:
            raise OptionError(
                "vocab_size is for the tokenizer bpe: char has one token for each character of the corpus"
            )
        if self.tokenizer == "bpe" and not MIN_VOCAB_SIZE <= self.vocab_size <= MAX_VOCAB_SIZE:
            raise OptionError(
                f"vocab_size must be {MIN_VOCAB_SIZE} to {MAX_VOCAB_SIZE:,} with the tokenizer bpe, not "
                f"{self.vocab_size:,}"
            )
        self.model(self.vocab_size or 2)

    def model(self, vocab_size: int) -> ModelConfig:
        """Return the model's shape for a vocabulary of this size.

        Raises:
            ConfigError: No such model could be submitted.
        """
        return ModelConfig(self.arch, self.n_layer, self.n_head, self.n_embd, self.block_size, vocab_size)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, as config.json holds it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: object) -> TrainConfig:
        """Read what `to_dict` wrote.

        Raises:
            OptionError: A key is missing or unknown, or a value is out of bounds.
        """
        if not isinstance(data, dict) or set(data) != set(cls.__dataclass_fields__):
            raise OptionError(f"a config must have exactly the keys {', '.join(cls.__dataclass_fields__)}")
        return cls(**data)


def with_vocab_size(settings: Mapping[str, Any], n_symbols: int) -> dict[str, Any]:
    """Return the settings, with the number of tokens in place of the number of merges.

    Args:
        settings: Fields of `TrainConfig` by name, and `n_merges` of a preset.
        n_symbols: Characters of the corpus.
    """
    settings = dict(settings)
    vocab_size = min(n_symbols + settings.pop("n_merges", DEFAULT_MERGES), MAX_VOCAB_SIZE)
    return {"vocab_size": vocab_size if settings.get("tokenizer") == "bpe" else 0, **settings}
