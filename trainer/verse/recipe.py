"""Recipes: prompt, temperature, top-k, seed and length of a verse."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from trainer.verse.config import ModelConfig
from trainer.verse.errors import RecipeError, short

MAX_SEED = 2**32 - 1
MAX_TEMPERATURE = 200  # hundredths
MAX_PROMPT_TOKENS = 1024
MAX_TOKENS = 1024
MAX_LINES = 64


@dataclass(frozen=True)
class Recipe:
    """Everything that decides a verse, except the weights.

    Raises:
        RecipeError: A value is out of bounds. `check_fits` checks it against a model.
    """

    prompt_ids: tuple[int, ...]  # at least one token; decode(prompt_ids) is the prompt people see
    temperature: int  # hundredths, 0..200; 0 is greedy decoding
    top_k: int  # candidates of a decision, 0: all
    seed: int  # 0..2^32-1
    tokens: int  # length limit, 1..1,024
    lines: int  # the verse ends with this many non-empty lines, 0: only by `tokens`

    def __post_init__(self) -> None:
        object.__setattr__(self, "prompt_ids", tuple(self.prompt_ids))
        if not 1 <= len(self.prompt_ids) <= MAX_PROMPT_TOKENS:
            raise RecipeError(f"a prompt has 1 to {MAX_PROMPT_TOKENS:,} tokens, not {len(self.prompt_ids):,}")
        if not all(type(token) is int and token >= 0 for token in self.prompt_ids):
            raise RecipeError("prompt_ids must be whole numbers, 0 or more")
        bounds = {
            "temperature": (0, MAX_TEMPERATURE),
            "top_k": (0, 2**16),
            "seed": (0, MAX_SEED),
            "tokens": (1, MAX_TOKENS),
            "lines": (0, MAX_LINES),
        }
        for name, (low, high) in bounds.items():
            value = getattr(self, name)
            if type(value) is not int or not low <= value <= high:
                unit = " hundredths" if name == "temperature" else ""
                raise RecipeError(f"{name} must be a whole number from {low:,} to {high:,}{unit}, not {short(value)}")

    def check_fits(self, config: ModelConfig) -> None:
        """Refuse a model that cannot write this verse.

        Raises:
            RecipeError: A token or top_k is beyond the vocabulary, or a gpt2 has too few positions.
        """
        if max(self.prompt_ids) >= config.vocab_size:
            raise RecipeError(
                f"the prompt holds token {short(max(self.prompt_ids))}; the model knows 0 to {config.vocab_size - 1}"
            )
        if self.top_k > config.vocab_size:
            raise RecipeError(f"top_k is {self.top_k}, but the model has only {config.vocab_size} tokens")
        length = len(self.prompt_ids) + self.tokens
        if config.arch == "gpt2" and length > config.block_size:
            raise RecipeError(
                f"prompt and verse may be {length} tokens, but this gpt2 model has {config.block_size} positions: "
                f"ask for at most {config.block_size - len(self.prompt_ids)} tokens"
            )

    def to_dict(self) -> dict[str, Any]:
        """Return plain data, as a bundle stores it."""
        return asdict(self) | {"prompt_ids": list(self.prompt_ids)}

    @classmethod
    def from_dict(cls, data: object) -> Recipe:
        """Read what `to_dict` wrote.

        Raises:
            RecipeError: A key is missing or unknown, or a value is out of bounds.
        """
        if not isinstance(data, dict) or set(data) != set(cls.__dataclass_fields__):
            raise RecipeError(f"a recipe must have exactly the keys {', '.join(cls.__dataclass_fields__)}")
        if not isinstance(data["prompt_ids"], list):
            raise RecipeError("prompt_ids must be a list of token ids")
        return cls(**data)


def hundredths(text: str) -> int:
    """Convert a temperature as people write it to hundredths.

    >>> hundredths("0.8")
    80

    Raises:
        RecipeError: It is not a number, finer than a hundredth, or outside 0..2.
    """
    try:
        value = Decimal(text)  # exact; arithmetic would round to 28 digits
        if 0 <= value <= MAX_TEMPERATURE // 100:
            whole = int(value * 100)
            if Decimal(whole) / 100 == value:
                return whole
    except InvalidOperation:
        raise RecipeError(f"temperature must be a number such as 0.8, not {short(text)}") from None
    raise RecipeError(f"temperature must be 0 to 2 in steps of 0.01, not {short(text)}")
