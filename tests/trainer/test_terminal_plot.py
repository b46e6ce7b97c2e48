"""The loss curve in characters."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.report.terminal_plot import ASCII, BRAILLE, MIN_COLUMNS, MIN_ROWS, Points, glyphs_for, plot_as_text

BASELINES = {"uniform guess": 4.17, "letter pairs": 2.36}
TRAIN = [(step, 1.4 + 2.7 * math.exp(-step / 100)) for step in range(10, 1001, 10)]
VAL = [(100, 2.5), (500, 1.6), (1000, 1.8)]

steps = st.lists(st.integers(1, 10_000_000), min_size=1, max_size=40, unique=True).map(sorted)
losses = st.floats(0, 20)


@st.composite
def points(draw: st.DrawFn) -> Points:
    return [(step, draw(losses)) for step in draw(steps)]


def test_losses_that_fall_linearly_are_drawn_as_a_diagonal() -> None:
    falling = [(1, 4.0), (24, 1.0)]
    assert plot_as_text(falling, [(24, 1.0)], {}, 30, 7, "ascii").splitlines() == [
        "4.00 |''...",
        "     |     ''''...",
        "     |            '''....",
        "1.00 |                   '''.*",
        "     +------------------------",
        "      step 1                24",
        "      : training  o validation  * best: 1.000 at step 24",
    ]


def test_the_best_point_stands_alone_and_lowest_of_the_validation() -> None:
    rows = plot_as_text(TRAIN, VAL, BASELINES, 80, 20).splitlines()[:-1]
    [best] = [(row, line.index(BRAILLE.best)) for row, line in enumerate(rows) if BRAILLE.best in line]
    others = [(row, line.index(BRAILLE.point)) for row, line in enumerate(rows) if BRAILLE.point in line]
    assert len(others) == 2
    assert all(row < best[0] for row, _ in others)
    assert others[0][1] < best[1] < others[1][1]


def test_baselines_are_drawn_and_labelled_at_their_losses() -> None:
    rows = plot_as_text(TRAIN, VAL, BASELINES, 80, 20).splitlines()
    assert rows[0].startswith("4.17 ") and rows[0].endswith(" uniform guess 4.17")
    [pairs] = [row for row, line in enumerate(rows) if line.endswith(" letter pairs 2.36")]
    top, bottom = 4.17, min(loss for _, loss in TRAIN)
    assert pairs == pytest.approx((top - 2.36) / (top - bottom) * 16, abs=1)


def test_a_label_gives_way_to_the_curve() -> None:
    flat = [(1, 4.0), (900, 4.0), (1000, 2.36)]
    [line] = [
        line for line in plot_as_text(flat, flat[-1:], BASELINES, 60, 12, "ascii").splitlines() if "pairs" in line
    ]
    assert line.endswith(" letter pairs 2.36 *")


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "cp437", "latin-1", "of nobody"])
def test_a_terminal_without_braille_gets_ascii(encoding: str) -> None:
    assert glyphs_for(encoding) is ASCII
    assert plot_as_text(TRAIN, VAL, BASELINES, 80, 20, encoding).isascii()


@pytest.mark.parametrize("encoding", ["utf-8", "UTF8", "utf-16"])
def test_a_terminal_with_unicode_gets_braille(encoding: str) -> None:
    assert glyphs_for(encoding) is BRAILLE


@given(train=points(), val=points(), width=st.integers(0, 200), height=st.integers(0, 60), fine=st.booleans())
def test_a_curve_of_any_losses_fits_into_a_terminal_of_any_size(
    train: Points, val: Points, width: int, height: int, fine: bool
) -> None:
    lines = plot_as_text(train, val, BASELINES, width, height, "utf-8" if fine else "ascii").splitlines()
    assert len(lines) == max(MIN_ROWS + 3, height)
    assert max(map(len, lines[:-1])) <= max(MIN_COLUMNS + 7, width)  # but for the legend, a sentence
    pen = BRAILLE if fine else ASCII
    assert sum(line.count(pen.best) for line in lines[:-1]) == 1
