"""Randomness from a key and a counter: the same numbers on every machine, and any step without the ones before.

Philox (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3") turns a key and a counter into 64-bit words
by integer arithmetic alone. A run has one key; each purpose (a tensor's initial values, the batches) has a stream of
its own, and each step of a stream a counter of its own.
"""

from __future__ import annotations

from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

DOMAIN = b"verse-train-1"
STEP_SHIFT = 64  # of the counter's 256 bits, the lowest 64 count words within a step


def seed_key(seed: int) -> bytes:
    """The key of a run that was given a seed."""
    return b"seed:%d" % seed


def words(key: bytes, purpose: str, step: int, count: int) -> NDArray[np.uint64]:
    """`count` uniform 64-bit words of one step of one stream.

    Args:
        key: the run's key, any bytes.
        purpose: the stream's name, without "|".
        step: 0 or more.
    """
    philox_key = int.from_bytes(sha256(DOMAIN + b"|" + purpose.encode() + b"|" + key).digest()[:16], "little")
    drawn: NDArray[np.uint64] = np.random.Philox(key=philox_key, counter=step << STEP_SHIFT).random_raw(count)
    return drawn


def uniform(key: bytes, purpose: str, shape: tuple[int, ...], limit: float) -> NDArray[np.float32]:
    """Numbers spread evenly over (-limit, limit): a tensor's initial values.

    An odd integer below 2^53 in size, divided by 2^53, is exact; IEEE then rounds one product and one conversion, the
    same way everywhere.
    """
    drawn = words(key, purpose, 0, int(np.prod(shape)))
    odd = (drawn >> np.uint64(10)).astype(np.int64) | 1  # 54 bits, the lowest of them set
    values = (odd - 2**53).astype(np.float64) * 2.0**-53
    return (values * limit).astype(np.float32).reshape(shape)


def below(key: bytes, purpose: str, step: int, bound: int, count: int) -> NDArray[np.int64]:
    """`count` whole numbers from 0 to bound - 1. (The remainder favours small ones by less than bound / 2^64.)"""
    return (words(key, purpose, step, count) % np.uint64(bound)).astype(np.int64)
