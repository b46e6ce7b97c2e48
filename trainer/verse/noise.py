"""The random numbers of a verse: integers from SHA-256, the same on every machine, computed for any token alone."""

from __future__ import annotations

from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

DOMAIN = b"verse-noise-1".ljust(16, b"\0")
WORDS = 4  # 64-bit words of one digest: it serves four neighbouring token ids


def noise_integers(seed: int, position: int, blocks: NDArray[np.integer]) -> NDArray[np.uint64]:
    """Return the 52-bit integers n of SPEC.md for the token ids 4b .. 4b+3 of each block b.

    >>> noise_integers(7, 0, np.array([0, 1])).ravel()[[0, 4]].tolist()
    [1221598615357272, 4082798631583277]

    Args:
        seed: The recipe's seed, 0..2^32-1.
        position: Index of the generated token, from 0.
        blocks: Token ids divided by four, (N,).

    Returns:
        (N, 4) integers below 2^52.
    """
    head = DOMAIN + seed.to_bytes(4, "big") + position.to_bytes(4, "big")
    tails = blocks.astype(">u4").tobytes()
    digests = b"".join([sha256(head + tails[i : i + 4]).digest() for i in range(0, len(tails), 4)])
    words = np.frombuffer(digests, dtype=">u8").astype(np.uint64)
    return (words >> np.uint64(12)).reshape(-1, WORDS)


def gumbel(n: NDArray[np.uint64]) -> NDArray[np.float64]:
    """Return standard Gumbel noise g = -ln(-ln u) with u = (2n+1) / 2^53, which is exact in float64 and never 0 or 1.

    The token that maximises z + T*g is a sample from softmax(z / T): the Gumbel-max trick (Gumbel 1954).
    """
    u = (2.0 * n.astype(np.float64) + 1.0) * 2.0**-53
    noise: NDArray[np.float64] = -np.log(-np.log(u))
    return noise


def gumbel_all(seed: int, position: int, vocab_size: int) -> NDArray[np.float64]:
    """Return the noise of every token id.

    Args:
        seed: The recipe's seed.
        position: Index of the generated token, from 0.
        vocab_size: Number of tokens.

    Returns:
        (vocab_size,) numbers.
    """
    return gumbel(noise_integers(seed, position, np.arange(-(-vocab_size // WORDS))).ravel()[:vocab_size])


def gumbel_of(seed: int, position: int, ids: NDArray[np.integer]) -> NDArray[np.float64]:
    """Return the noise of some token ids: the same numbers as `gumbel_all(...)[ids]`, without computing the others.

    Args:
        seed: The recipe's seed.
        position: Index of the generated token, from 0.
        ids: Token ids, (N,).

    Returns:
        (N,) numbers.
    """
    blocks, where = np.unique(ids // WORDS, return_inverse=True)
    return gumbel(noise_integers(seed, position, blocks)[where, ids % WORDS])
