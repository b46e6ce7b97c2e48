"""What is learned from, and how well: batches, the loss, and the one validation loss."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainer import rng

EVAL_TOKENS = 8192  # at once: enough to keep a processor busy
EVAL_LOGITS = 2**24  # at once, 64 MiB: a vocabulary may be large


def batch(ids: Tensor, key: bytes, step: int, batch_size: int, block_size: int) -> tuple[Tensor, Tensor]:
    """The sequences of one step, and for each position the token that follows: two of (B, T).

    Where they begin depends on key and step alone, so any step can be made again without the ones before.
    """
    offsets = torch.from_numpy(rng.below(key, "batches", step, len(ids) - block_size, batch_size))
    index = offsets[:, None] + torch.arange(block_size + 1)  # (B, T + 1)
    rows = ids[index.to(ids.device)]
    return rows[:, :-1], rows[:, 1:]


def mean_loss(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """Cross-entropy in nats a token."""
    return F.cross_entropy(model(x).flatten(0, 1), y.flatten())


@torch.no_grad()
def validation_loss(model: nn.Module, ids: Tensor, block_size: int, vocab_size: int) -> float:
    """Mean cross-entropy, in nats a token, over all of `ids`: every token but the first is predicted once.

    The windows are `block_size` long and do not overlap; the last, shorter one is counted by its tokens.
    """
    was_training = model.training
    model.eval()
    count = len(ids) - 1
    whole = count // block_size * block_size
    x, y = ids[:whole].view(-1, block_size), ids[1 : whole + 1].view(-1, block_size)  # (windows, T)
    rows = max(1, min(EVAL_TOKENS, EVAL_LOGITS // vocab_size) // block_size)
    pieces = list(zip(torch.split(x, rows), torch.split(y, rows), strict=True)) if whole else []
    if whole < count:
        pieces.append((ids[None, whole:count], ids[None, whole + 1 :]))
    losses = torch.stack([mean_loss(model, a, b) for a, b in pieces]).cpu()  # mps has no float64, so they add up here
    tokens = torch.tensor([a.numel() for a, _ in pieces])
    model.train(was_training)
    return float((losses.double() * tokens).sum() / count)
