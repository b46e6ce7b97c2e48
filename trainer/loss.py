"""What is learned from, and how well: batches, the loss, and the one validation loss."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from trainer import rng

EVAL_TOKENS = {"cpu": 1024, "cuda": 65536, "mps": 8192}  # at once; more than fits its cache is slow on a processor
EVAL_LOGITS = 2**24  # at once, 64 MiB: a vocabulary may be large


def batch(
    ids: Tensor, key: bytes, step: int, batch_size: int, block_size: int, context: int | None = None
) -> tuple[Tensor, Tensor]:
    """The sequences of one step, and for each position the token that follows: two of (B, T).

    With a `context` that divides block_size, each sequence becomes several of that length: (B * T / context, context).

    The text is read without replacement: cut into windows, which come in random order until all have been read; then it
    is cut elsewhere and shuffled anew. All this depends on key and step alone, so any step can be made again without
    the ones before.
    """
    n_windows = max(1, (len(ids) - 1) // block_size - 1)  # one less than there is room for, to cut at any place
    passes, places = divmod(np.arange(step * batch_size, (step + 1) * batch_size), n_windows)
    starts = np.empty(batch_size, np.int64)
    for number in set(passes.tolist()):
        shift, order = cut(key, number, n_windows, len(ids) - n_windows * block_size)
        here = passes == number
        starts[here] = shift + block_size * order[places[here]]
    index = torch.from_numpy(starts)[:, None] + torch.arange(block_size + 1)  # (B, T + 1)
    rows = ids[index.to(ids.device)]
    width = context or block_size
    return rows[:, :-1].reshape(-1, width), rows[:, 1:].reshape(-1, width)


@lru_cache(maxsize=2)  # a step at the end of one pass needs the next one, too
def cut(key: bytes, number: int, n_windows: int, room: int) -> tuple[int, NDArray[np.int64]]:
    """Where the first window of a pass begins, below `room`, and the order in which its windows are read."""
    drawn = rng.words(key, "passes", number, n_windows + 1)
    return int(drawn[-1] % np.uint64(room)), np.argsort(drawn[:-1])


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
    rows = max(1, min(EVAL_TOKENS[ids.device.type], EVAL_LOGITS // vocab_size) // block_size)
    pieces = list(zip(torch.split(x, rows), torch.split(y, rows), strict=True)) if whole else []
    if whole < count:
        pieces.append((ids[None, whole:count], ids[None, whole + 1 :]))
    losses = torch.stack([mean_loss(model, a, b) for a, b in pieces]).cpu()  # mps has no float64, so they add up here
    tokens = torch.tensor([a.numel() for a, _ in pieces])
    model.train(was_training)
    return float((losses.double() * tokens).sum() / count)
