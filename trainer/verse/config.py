"""The shape of a model: two architectures, their bounds and the names of their tensors. Standard library only."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from trainer.verse.errors import ConfigError, short

ARCHITECTURES = ("modern", "gpt2")
HEAD_WIDTHS = (8, 16, 32, 64, 128)  # powers of two: one table of rotary frequencies serves all
MAX_LAYERS = 64
MAX_WIDTH = 4096
MAX_BLOCK_SIZE = 1024  # tokens
MAX_VOCAB_SIZE = 65_536  # tokens: an id fits into two bytes
PREVIOUS_TOKENS = 3  # modern: tokens before each one whose embeddings are added to its own; NOTES.md compares 0 to 4
PREVIOUS_VOCAB_SIZE = 512  # tokens of the largest vocabulary with such embeddings; more make a model large, not better
MAX_WEIGHT_BYTES = 190 * 2**20  # float16; the large preset is 170 MB, and a bundle adds its header


@dataclass(frozen=True)
class ModelConfig:
    """A decoder-only transformer.

    Raises:
        ConfigError: A value is out of bounds.
    """

    arch: str  # "modern" or "gpt2"
    n_layer: int  # blocks
    n_head: int  # attention heads of a block
    n_embd: int  # width of the residual stream; n_embd / n_head is the head width
    block_size: int  # tokens of context
    vocab_size: int  # tokens

    def __post_init__(self) -> None:
        for name in ("n_layer", "n_head", "n_embd", "block_size", "vocab_size"):
            if type(getattr(self, name)) is not int:
                raise ConfigError(f"{name} must be a whole number, not {short(getattr(self, name))}")
        if self.arch not in ARCHITECTURES:
            raise ConfigError(f"arch must be one of {', '.join(ARCHITECTURES)}, not {short(self.arch)}")
        bounds = {
            "n_layer": (1, MAX_LAYERS),
            "n_head": (1, MAX_WIDTH // HEAD_WIDTHS[0]),
            "n_embd": (HEAD_WIDTHS[0], MAX_WIDTH),
            "block_size": (1, MAX_BLOCK_SIZE),
            "vocab_size": (2, MAX_VOCAB_SIZE),
        }
        for name, (low, high) in bounds.items():
            if not low <= getattr(self, name) <= high:
                raise ConfigError(f"{name} must be {low:,} to {high:,}, not {short(getattr(self, name))}")
        if self.n_embd % self.n_head or self.head_width not in HEAD_WIDTHS:
            raise ConfigError(
                f"n_embd / n_head must be one of {', '.join(map(str, HEAD_WIDTHS))}, "
                f"not {self.n_embd}/{self.n_head} = {self.n_embd / self.n_head:g}"
            )
        if 2 * self.n_params > MAX_WEIGHT_BYTES:
            raise ConfigError(
                f"a model of {self.n_params:,} weights is {2 * self.n_params:,} bytes in float16, "
                f"more than the {MAX_WEIGHT_BYTES:,} a bundle may hold"
            )

    @property
    def head_width(self) -> int:
        """Width of one attention head."""
        return self.n_embd // self.n_head

    @property
    def n_previous(self) -> int:
        """Tables of previous tokens: `PREVIOUS_TOKENS`, or 0 for a large vocabulary."""
        return PREVIOUS_TOKENS if self.arch == "modern" and self.vocab_size <= PREVIOUS_VOCAB_SIZE else 0

    @property
    def n_params(self) -> int:
        """Stored weights, all tensors together."""
        total = 0
        for shape in self.tensor_shapes().values():
            count = 1
            for size in shape:
                count *= size
            total += count
        return total

    def tensor_shapes(self) -> dict[str, tuple[int, ...]]:
        """Return name and shape of every tensor; matrices are (out, in), names are those of GPT-2."""
        C, V = self.n_embd, self.vocab_size
        gpt2 = self.arch == "gpt2"
        matrices = {"attn.c_attn": (3 * C, C), "attn.c_proj": (C, C), "mlp.c_fc": (4 * C, C), "mlp.c_proj": (C, 4 * C)}
        shapes: dict[str, tuple[int, ...]] = {"wte.weight": (V, C)}
        for offset in range(1, self.n_previous + 1):
            shapes[f"previous.{offset}.weight"] = (V, C)
        if gpt2:
            shapes["wpe.weight"] = (self.block_size, C)
        for layer in range(self.n_layer):
            block = f"h.{layer}."
            for name, shape in matrices.items():
                shapes[f"{block}{name}.weight"] = shape
                if gpt2:
                    shapes[f"{block}{name}.bias"] = shape[:1]
            for name in ("ln_1", "ln_2"):
                shapes[f"{block}{name}.weight"] = (C,)
                if gpt2:
                    shapes[f"{block}{name}.bias"] = (C,)
            if not gpt2:
                for name in ("attn.q_norm", "attn.k_norm"):
                    shapes[f"{block}{name}.weight"] = (self.head_width,)
        shapes["ln_f.weight"] = (C,)
        if gpt2:
            shapes["ln_f.bias"] = (C,)
        else:
            shapes["lm_head.weight"] = (V, C)
        return shapes

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, as a bundle stores it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: object) -> ModelConfig:
        """Read what `to_dict` wrote.

        Raises:
            ConfigError: A key is missing or unknown, or a value is out of bounds.
        """
        if not isinstance(data, dict) or set(data) != set(cls.__dataclass_fields__):
            raise ConfigError(f"a config must have exactly the keys {', '.join(cls.__dataclass_fields__)}")
        return cls(**data)
