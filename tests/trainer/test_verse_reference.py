"""The engine against a second one, written from SPEC.md alone: plain numbers and loops, no cache."""

from __future__ import annotations

import re
from decimal import Decimal, localcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import trainer.verse
from tests.support import reference_engine as reference
from tests.support.small_models import LETTERS, LINEAR_A, all_logits, make_recipe, plain, random_weights
from trainer.verse.config import ARCHITECTURES, ModelConfig
from trainer.verse.generate import regenerate
from trainer.verse.model import VerseModel
from trainer.verse.noise import gumbel, gumbel_all, gumbel_of, noise_integers
from trainer.verse.replay import replay
from trainer.verse.rotary import FREQUENCIES, rotary_angles

SPEC = (Path(trainer.verse.__file__).parent / "SPEC.md").read_text(encoding="utf-8")
SHAPES = {
    "modern": ModelConfig("modern", n_layer=2, n_head=2, n_embd=16, block_size=7, vocab_size=10),  # verses outgrow it
    "gpt2": ModelConfig("gpt2", n_layer=2, n_head=2, n_embd=16, block_size=19, vocab_size=10),  # just 3 + 16
}
V = 10
CHOICES = [
    {"temperature": temperature, "top_k": top_k} for temperature in (0, 1, 80, 200) for top_k in (0, 1, 4, V - 1, V)
]


@pytest.mark.parametrize("arch", ARCHITECTURES)
@pytest.mark.parametrize("choice", CHOICES, ids=lambda c: f"T{c['temperature']}-k{c['top_k']}")
def test_the_engine_writes_what_the_specification_says(arch: str, choice: dict[str, Any]) -> None:
    config = SHAPES[arch]
    weights = random_weights(config, seed=choice["top_k"])
    recipe = make_recipe(prompt_ids=(3, 0, 9), seed=2**32 - 1 - choice["temperature"], **choice)
    [written] = regenerate(VerseModel(config, weights), LETTERS, [recipe])
    ids, gaps = reference.write(config.to_dict(), plain(weights), LETTERS.to_dict(), recipe.to_dict())
    assert list(written.ids) == ids
    np.testing.assert_allclose(written.gaps, gaps, rtol=0, atol=1e-9)


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_a_verse_that_ends_by_lines_ends_where_the_specification_says(arch: str) -> None:
    config = SHAPES[arch]
    weights = random_weights(config, seed=1)
    model, lists = VerseModel(config, weights), plain(weights)
    ends = set()
    for seed in range(6):
        recipe = make_recipe(seed=seed, lines=1 + seed % 2, temperature=200)
        [written] = regenerate(model, LETTERS, [recipe])
        ids, _ = reference.write(config.to_dict(), lists, LETTERS.to_dict(), recipe.to_dict())
        assert list(written.ids) == ids
        ends.add(len(ids))
    assert min(ends) < 16, "some of these verses end by their lines"


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_every_head_width_and_byte_pairs_agree_with_the_specification(arch: str) -> None:
    for n_head, width in ((2, 8), (1, 32), (1, 64), (1, 128)):
        config = ModelConfig(arch, 1, n_head, n_head * width, 12, LINEAR_A.size)
        weights = random_weights(config, seed=width, spread=0.2)
        recipe = make_recipe(prompt_ids=(260, 65), tokens=5, top_k=100)
        [written] = regenerate(VerseModel(config, weights), LINEAR_A, [recipe])
        ids, gaps = reference.write(config.to_dict(), plain(weights), LINEAR_A.to_dict(), recipe.to_dict())
        assert list(written.ids) == ids
        np.testing.assert_allclose(written.gaps, gaps, rtol=0, atol=1e-9)


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_logits_are_those_of_the_specification_in_chunks_of_any_size(arch: str) -> None:
    config = SHAPES[arch]
    weights = random_weights(config, seed=5)
    model = VerseModel(config, weights)
    ids = np.random.default_rng(0).integers(0, V, 19).tolist()
    expected = reference.logits(config.to_dict(), plain(weights), ids)
    for chunk in (1, 2, 6, 7, 8, 18, 19):
        np.testing.assert_allclose(all_logits(model, ids, chunk), expected, rtol=0, atol=1e-11)


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_replay_of_the_reference_verse_passes_and_of_any_changed_token_fails(arch: str) -> None:
    config = SHAPES[arch]
    weights = random_weights(config, seed=2)
    model = VerseModel(config, weights)
    recipe = make_recipe(top_k=6, tokens=16)
    ids, gaps = reference.write(config.to_dict(), plain(weights), LETTERS.to_dict(), recipe.to_dict())
    verdict = replay(model, recipe, ids)
    assert verdict.verdict == "PASS"
    assert verdict.certificate is not None
    assert verdict.certificate.smallest_gap == pytest.approx(min(gaps), abs=1e-9)
    assert verdict.certificate.position == gaps.index(min(gaps))
    for position in range(len(ids)):
        for other in range(V):
            if other != ids[position]:
                changed = [*ids[:position], other, *ids[position + 1 :]]
                verdict = replay(model, recipe, changed)
                assert (verdict.verdict, verdict.position, verdict.expected, verdict.got) == (
                    "FAIL",
                    position,
                    ids[position],
                    other,
                )


def test_noise_is_that_of_the_specification_for_any_token_alone() -> None:
    for seed, position in ((0, 0), (7, 3), (2**32 - 1, 1023), (123456789, 500)):
        expected = [reference.noise_integer(seed, position, token) for token in range(103)]
        assert noise_integers(seed, position, np.arange(26)).ravel()[:103].tolist() == expected
        g = [reference.gumbel(n) for n in expected]
        np.testing.assert_allclose(gumbel_all(seed, position, 103), g, rtol=1e-14)
        some = np.array([102, 5, 5, 0, 7, 64])
        assert gumbel_of(seed, position, some).tolist() == gumbel_all(seed, position, 103)[some].tolist()


def test_noise_is_finite_at_both_ends_of_its_range() -> None:
    ends = gumbel(np.array([0, 2**52 - 1], np.uint64))
    np.testing.assert_allclose(ends, [reference.gumbel(0), reference.gumbel(2**52 - 1)], rtol=1e-14)
    assert np.isfinite(ends).all()


def test_the_frequencies_are_the_numbers_printed_in_the_specification() -> None:
    [table] = re.findall(r"```\n([0-9.\s]+)```", SPEC)
    printed = [float(number) for number in table.split()]
    assert tuple(printed) == FREQUENCIES
    assert len(printed) == 64
    with localcontext(prec=50):
        assert printed == [float(10000 ** (Decimal(-2 * n) / 128)) for n in range(64)], "correctly rounded"
    for width in (8, 16, 32, 64, 128):
        angles = rotary_angles(width, 3)
        assert angles.shape == (3, width // 2)
        assert angles[2].tolist() == [2 * printed[i * 128 // width] for i in range(width // 2)]


def test_the_noise_table_printed_in_the_specification_is_true() -> None:
    rows = re.findall(r"^\| (\d+) \| (\d+) \| (\d+) \| (\d+) \|$", SPEC, re.MULTILINE)
    assert len(rows) == 3
    for seed, position, token, n in (map(int, row) for row in rows):
        assert noise_integers(seed, position, np.array([token // 4]))[0, token % 4] == n
        assert reference.noise_integer(seed, position, token) == n
