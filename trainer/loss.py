"""Batches, the training loss and the validation loss."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from trainer import rng

EVAL_TOKENS = {"cpu": 1024, "cuda": 65536, "mps": 8192}  # at once; on a CPU, more than fits its cache is slow
EVAL_LOGITS = 2**24  # at once, 64 MiB: a vocabulary may be large


def get_batch(
    ids: Tensor, key: bytes, step: int, batch_size: int, block_size: int, context: int | None = None
) -> tuple[Tensor, Tensor]:
    """Return the inputs and targets of one step; the target of each position is the next token.

    The text is read without replacement: it is cut into windows, which come in random order until all were read. Then
    it is cut at other places and shuffled again. The batch depends on key and step alone, so any step can be repeated
    without the ones before it.

    Args:
        ids: Token ids of the training split, (N,).
        key: The key of the run's random numbers.
        step: Updates done before this one.
        batch_size: Sequences.
        block_size: Tokens of a sequence.
        context: Splits each sequence into several of this length; it must divide `block_size`. None to leave them.

    Returns:
        Two tensors of (batch_size * block_size / context, context).
    """
    n_windows = max(1, (len(ids) - 1) // block_size - 1)  # one fewer than fit, so that a pass can start anywhere
    passes, positions = divmod(np.arange(step * batch_size, (step + 1) * batch_size), n_windows)
    starts = np.empty(batch_size, np.int64)
    for number in set(passes.tolist()):
        offset, order = window_order(key, number, n_windows, len(ids) - n_windows * block_size)
        in_pass = passes == number
        starts[in_pass] = offset + block_size * order[positions[in_pass]]
    index = torch.from_numpy(starts).to(ids.device)[:, None] + torch.arange(block_size + 1, device=ids.device)
    rows = ids[index].long()  # (B, T + 1)
    width = context or block_size
    return rows[:, :-1].reshape(-1, width), rows[:, 1:].reshape(-1, width)


@lru_cache(maxsize=2)  # a step at the end of one pass needs the next one, too
def window_order(key: bytes, number: int, n_windows: int, room: int) -> tuple[int, NDArray[np.int64]]:
    """Return where the first window of a pass begins, and the order in which its windows are read.

    Args:
        key: The key of the run's random numbers.
        number: The pass's number, from 0.
        n_windows: Windows of a pass.
        room: Places at which the first window may begin.

    Returns:
        An offset below `room`, and a permutation of the windows, (n_windows,).
    """
    drawn = rng.words(key, "passes", number, n_windows + 1)
    return int(drawn[-1] % np.uint64(room)), np.argsort(drawn[:-1])


def mean_loss(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """Return the mean cross-entropy in nats per token.

    Args:
        model: Maps (B, T) token ids to (B, T, vocab_size) logits.
        x: Inputs, (B, T).
        y: Targets, (B, T).
    """
    return F.cross_entropy(model(x).flatten(0, 1), y.flatten())


@torch.no_grad()
def validation_loss(model: nn.Module, ids: Tensor, block_size: int, vocab_size: int) -> float:
    """Return the mean cross-entropy over all of `ids`: every token but the first is predicted once.

    The windows have `block_size` tokens and do not overlap; the last, shorter one counts by its tokens.

    Args:
        model: Maps (B, T) token ids to (B, T, vocab_size) logits.
        ids: Token ids of the validation split, (M,).
        block_size: Tokens of a window.
        vocab_size: Number of tokens, which bounds the windows evaluated at once.

    Returns:
        Nats per token.
    """
    was_training = model.training
    model.eval()
    count = len(ids) - 1
    whole = count // block_size * block_size
    ids = ids.long()
    x, y = ids[:whole].view(-1, block_size), ids[1 : whole + 1].view(-1, block_size)  # (windows, T)
    rows = max(1, min(EVAL_TOKENS[ids.device.type], EVAL_LOGITS // vocab_size) // block_size)
    pieces = list(zip(torch.split(x, rows), torch.split(y, rows), strict=True)) if whole else []
    if whole < count:
        pieces.append((ids[None, whole:count], ids[None, whole + 1 :]))
    losses = torch.stack([mean_loss(model, a, b) for a, b in pieces]).cpu()  # summed on the CPU: mps has no float64
    tokens = torch.tensor([a.numel() for a, _ in pieces])
    model.train(was_training)
    return float((losses.double() * tokens).sum() / count)
