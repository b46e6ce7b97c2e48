"""Random numbers by key and counter: the ones written down here, on every machine."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from trainer.rng import below, seed_key, uniform, words

MASK = 2**64 - 1
GOLDEN_WORDS = [14024147372088195174, 11995224120673096769]
GOLDEN_UNIFORM = ["-0x1.9ab33e0000000p-8", "0x1.0b18720000000p-4"]


def philox_4x64(counter: list[int], key: list[int]) -> list[int]:
    """One block of Philox 4x64-10, from the paper, in whole numbers."""
    for round_ in range(10):
        if round_:
            key = [(key[0] + 0x9E3779B97F4A7C15) & MASK, (key[1] + 0xBB67AE8584CAA73B) & MASK]
        a, b = 0xD2E7470EE14C6C93 * counter[0], 0xCA5A826395121157 * counter[2]
        counter = [(b >> 64) ^ counter[1] ^ key[0], b & MASK, (a >> 64) ^ counter[3] ^ key[1], a & MASK]
    return counter


@pytest.mark.parametrize("step", [0, 1, 2**40])
def test_words_are_philox_of_the_documented_key_and_counter(step: int) -> None:
    digest = hashlib.sha256(b"verse-train-1|batches|seed:7").digest()
    key = [int.from_bytes(digest[:8], "little"), int.from_bytes(digest[8:16], "little")]
    expected = [word for block in (1, 2) for word in philox_4x64([block, step, 0, 0], key)]
    assert words(seed_key(7), "batches", step, 8).tolist() == expected


def test_words_are_the_recorded_ones() -> None:
    assert words(seed_key(1337), "batches", 5, 2).tolist() == GOLDEN_WORDS


def test_another_purpose_key_or_step_gives_other_words() -> None:
    drawn = [words(*which, 4).tolist() for which in ((b"k", "a", 0), (b"l", "a", 0), (b"k", "b", 0), (b"k", "a", 1))]
    assert len({word for four in drawn for word in four}) == 16


def test_uniform_numbers_fill_their_range_evenly_and_never_leave_it() -> None:
    numbers = uniform(b"k", "wte.weight", (400, 500), 0.25)
    assert numbers.dtype == np.float32
    assert np.abs(numbers).max() <= 0.25
    shares = np.histogram(numbers, bins=10, range=(-0.25, 0.25))[0] / numbers.size
    assert np.abs(shares - 0.1).max() < 0.003


def test_uniform_numbers_are_the_recorded_ones() -> None:
    assert [float(number).hex() for number in uniform(seed_key(1337), "wte.weight", (2,), 0.1)] == GOLDEN_UNIFORM


def test_random_offsets_reach_every_place_and_none_beyond() -> None:
    drawn = below(b"k", "batches", 3, 7, 1000)
    assert set(drawn.tolist()) == set(range(7))
