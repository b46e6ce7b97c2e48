"""Random numbers from a key and a counter: the same on every machine, and any step without the ones before it.

Philox (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3") turns a key and a counter into 64-bit words
by integer arithmetic alone. A run has one key. Each purpose, such as a tensor's initial values or the batches, has its
own stream, and each step of a stream has its own counter.
"""

from __future__ import annotations

from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

DOMAIN = b"verse-train-1"
STEP_SHIFT = 64  # of the counter's 256 bits, the lowest 64 count words within a step


def seed_key(seed: int) -> bytes:
    """Return the key of a run with this seed."""
    return b"seed:%d" % seed


def event_key(nonce: str, owner: str, seed: int) -> bytes:
    """Return the key of a run for an event: it can be known only once the event has published its nonce.

    Args:
        nonce: Of the event, 64 hexadecimal digits.
        owner: Id of the owner of the entries (`trainer.verse.identity.owner_id`), hexadecimal.
        seed: Of the run.

    Returns:
        SHA-256("verse-train-key-1|" | nonce | "|" | owner | "|" | seed), all in ASCII.
    """
    return sha256(f"verse-train-key-1|{nonce}|{owner}|{seed}".encode("ascii")).digest()


def run_key(seed: int, nonce: str, owner: str) -> bytes:
    """Return the key of a run.

    Args:
        seed: Of the run.
        nonce: Of the event that it is trained for; "" for none.
        owner: As for `event_key`.
    """
    return event_key(nonce, owner, seed) if nonce else seed_key(seed)


def words(key: bytes, purpose: str, step: int, count: int) -> NDArray[np.uint64]:
    """Return uniform 64-bit words of one step of one stream.

    Args:
        key: The run's key, any bytes.
        purpose: The stream's name, without "|".
        step: 0 or more.
        count: How many words.

    Returns:
        (count,) words.
    """
    philox_key = int.from_bytes(sha256(DOMAIN + b"|" + purpose.encode() + b"|" + key).digest()[:16], "little")
    drawn: NDArray[np.uint64] = np.random.Philox(key=philox_key, counter=step << STEP_SHIFT).random_raw(count)
    return drawn


def uniform(key: bytes, purpose: str, shape: tuple[int, ...], limit: float) -> NDArray[np.float32]:
    """Return numbers uniform over (-limit, limit), for a tensor's initial values.

    An odd integer below 2^53 in absolute value, divided by 2^53, is exact. IEEE arithmetic then rounds one product and
    one conversion, the same way on every machine.

    Args:
        key: The run's key.
        purpose: The stream's name, without "|".
        shape: The result's shape.
        limit: The bound of the absolute values.
    """
    drawn = words(key, purpose, 0, int(np.prod(shape)))
    odd = (drawn >> np.uint64(10)).astype(np.int64) | 1  # 54 bits, the lowest of them set
    values = (odd - 2**53).astype(np.float64) * 2.0**-53
    return (values * limit).astype(np.float32).reshape(shape)


def below(key: bytes, purpose: str, step: int, bound: int, count: int) -> NDArray[np.int64]:
    """Return integers from 0 to bound - 1. The remainder favours small ones by less than bound / 2^64.

    Args:
        key: The run's key.
        purpose: The stream's name, without "|".
        step: 0 or more.
        bound: One more than the largest integer.
        count: How many integers.

    Returns:
        (count,) integers.
    """
    return (words(key, purpose, step, count) % np.uint64(bound)).astype(np.int64)
