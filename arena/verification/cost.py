"""What the check of a bundle costs, computed from its header: processor time and memory."""

from __future__ import annotations

from dataclasses import dataclass

from trainer.verse.claim import Claim
from trainer.verse.passes import CHUNK, COPIES, MAX_LOGITS

MIB = 2**20
BASE_MEMORY = 128 * MIB  # bytes: Python and NumPy take 60 MB, a header with 65,536 tokens 30 MB
MIN_MEMORY = 256 * MIB  # bytes; allowed in any case
MEMORY_MARGIN = 1.1
START_SECONDS = 0.4  # of a process with NumPy


@dataclass(frozen=True)
class Cost:
    """What the check of one bundle costs."""

    seconds: float  # of one processor core
    memory: int  # bytes, resident: the check is stopped when it uses more


def estimate_cost(claim: Claim) -> Cost:
    """Estimate the cost of a check.

    The constants were measured on one core of a cloud server, with bundles of 0.2 to 199 MB, and rounded up: NOTES.md
    has the figures.
    """
    config, recipe = claim.config, claim.recipe
    n_params, n_layer, n_head, width = config.n_params, config.n_layer, config.n_head, config.n_embd
    tokens = len(claim.ids)
    positions = len(recipe.prompt_ids) + tokens
    rows = min(positions, CHUNK)
    keys = min(positions, config.block_size + CHUNK)  # that one chunk attends to
    noise, sorting = recipe.temperature > 0, recipe.top_k > 0
    seconds = (
        START_SECONDS
        + n_params * 1.5e-8  # reading and converting the weights
        + COPIES * 2 * n_params * positions / 2.5e10  # products with the weights
        + COPIES * n_layer * positions * width * 1.5e-7  # norms and activation functions, and moves of the copies
        + COPIES * n_layer * positions * keys * (12 + 14 * n_head) * 1e-9  # attention: the window's mask, and each head
        + tokens * (1e-4 + config.vocab_size * (1e-9 + 3.5e-7 * noise + 1e-7 * sorting))  # decisions
    )
    memory = (
        10 * n_params  # in float16 as read, and in float64
        + COPIES * 16 * n_layer * width * positions  # keys and values
        + 8 * rows * keys * ((COPIES + 5) * n_head + 4)  # attention, and the moves of its scores
        + COPIES * 8 * rows * width * 16  # activations
        + 24 * min(tokens * config.vocab_size, MAX_LOGITS)  # logits
        + 8 * 8 * config.vocab_size  # one decision
    )
    return Cost(round(seconds, 2), max(MIN_MEMORY, BASE_MEMORY + int(MEMORY_MARGIN * memory)))
