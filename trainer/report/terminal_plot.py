"""The loss curve as text, for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass

from trainer.metrics import baseline_names
from trainer.runtime.run import Run, loss_curve, read_config

Points = Sequence[tuple[int, float]]  # step and loss
Cell = tuple[int, int]  # row, from the top, and column

# What each dot of a character adds to its number, by row and column of the dot: Unicode's numbering of braille.
DOTS = ((1, 8), (2, 16), (4, 32), (64, 128))
MAX_COLUMNS, ROWS = 100, 18  # of a run's plot
MIN_COLUMNS, MIN_ROWS = 24, 4  # of the drawing without its labels


@dataclass(frozen=True)
class Glyphs:
    """Characters to draw with."""

    across: int  # dots in a character, horizontally
    down: int  # dots in a character, vertically
    dots: str  # the characters that have these dots, by number
    baseline: str
    point: str
    best: str
    side: str
    corner: str
    floor: str


BRAILLE = Glyphs(2, 4, "".join(map(chr, range(0x2800, 0x2900))), "┈", "○", "●", "│", "└", "─")
ASCII = Glyphs(1, 2, " '.:", "-", "o", "*", "|", "+", "-")


def plot_run_as_text(run: Run, columns: int, encoding: str) -> str:
    """Plot a run's losses and its corpus's baselines.

    Args:
        run: The run's folder.
        columns: Width of the terminal.
        encoding: The terminal's.

    Raises:
        RunError: The run was never evaluated.
    """
    config, corpus = read_config(run)
    names = baseline_names(config.tokenizer)
    baselines = {names[name]: loss for name, loss in corpus["baselines"].items()}
    width = min(columns, MAX_COLUMNS)
    return plot_as_text(loss_curve(run, "train_loss"), loss_curve(run, "val_loss"), baselines, width, ROWS, encoding)


def plot_as_text(
    train: Points, val: Points, baselines: Mapping[str, float], width: int, height: int, encoding: str = "utf-8"
) -> str:
    """Plot losses: a line for training, points for validation, the best one filled, dashes for baselines.

    Args:
        train: At least one point, by step.
        val: At least one point, by step.
        baselines: Losses to compare with, by label.
        width: The plot's, in characters.
        height: The plot's, in lines.
        encoding: The terminal's; ASCII is used if it does not have braille.
    """
    glyphs = glyphs_for(encoding)
    best_step, best_loss = min(val, key=lambda point: point[1])
    losses = [loss for _, loss in (*train, *val)]
    top, bottom = max(*losses, *baselines.values()), min(losses)
    first, last = min(train[0][0], val[0][0]), max(train[-1][0], val[-1][0])
    labels = [f"{top:.2f}", f"{bottom:.2f}"]
    margin = max(map(len, labels))
    columns, rows = max(MIN_COLUMNS, width - margin - 2), max(MIN_ROWS, height - 3)
    max_x, max_y = columns * glyphs.across - 1, rows * glyphs.down - 1  # the last dot in each direction

    def dot(step: int, loss: float) -> tuple[int, int]:
        """Return the dot of a point, from the left and from the top."""
        x = (step - first) / ((last - first) or 1) * max_x
        y = (top - loss) / ((top - bottom) or 1) * max_y
        return round(x), round(y)

    def cell(step: int, loss: float) -> Cell:
        x, y = dot(step, loss)
        return y // glyphs.down, x // glyphs.across

    drawn = _draw_line([dot(*point) for point in train], glyphs)
    drawn |= {cell(*point): glyphs.point for point in val}
    drawn[cell(best_step, best_loss)] = glyphs.best
    for name, loss in baselines.items():
        row = cell(first, loss)[0]
        drawn = _draw_baseline(drawn, row, columns, f" {name} {loss:.2f} ", glyphs) | drawn
    lines = ["".join(drawn.get((row, column), " ") for column in range(columns)) for row in range(rows)]
    sides = [labels[0], *[""] * (rows - 2), labels[1]]
    legend = (
        f"{glyphs.dots[-1]} training  {glyphs.point} validation  "
        f"{glyphs.best} best: {best_loss:.3f} at step {best_step:,}"
    )
    return "\n".join(
        [
            *(f"{side:>{margin}} {glyphs.side}{line}".rstrip() for side, line in zip(sides, lines, strict=True)),
            f"{'':>{margin}} {glyphs.corner}{glyphs.floor * columns}",
            f"{'':>{margin}}  step {first:,}{f'{last:,}':>{columns - len(f'step {first:,}')}}",
            f"{'':>{margin}}  {legend}",
        ]
    )


def glyphs_for(encoding: str) -> Glyphs:
    """Return braille if the encoding has it, else ASCII."""
    try:
        "".join(map(str, astuple(BRAILLE))).encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return ASCII
    return BRAILLE


def _draw_line(dots: Sequence[tuple[int, int]], glyphs: Glyphs) -> dict[Cell, str]:
    """Return the characters of lines that connect the dots."""
    numbers: dict[Cell, int] = {}
    for (x0, y0), (x1, y1) in zip(dots, [*dots[1:], dots[-1]], strict=True):
        steps = max(abs(x1 - x0), abs(y1 - y0), 1)
        for i in range(steps + 1):
            x, y = round(x0 + (x1 - x0) * i / steps), round(y0 + (y1 - y0) * i / steps)
            cell = (y // glyphs.down, x // glyphs.across)
            numbers[cell] = numbers.get(cell, 0) | DOTS[y % glyphs.down][x % glyphs.across]
    return {cell: glyphs.dots[number] for cell, number in numbers.items()}


def _draw_baseline(drawn: Mapping[Cell, str], row: int, columns: int, label: str, glyphs: Glyphs) -> dict[Cell, str]:
    """Return dashes across a row, and a label as far to the right as there is free space, or none.

    Args:
        drawn: What is drawn already.
        row: From the top.
        columns: Width of the drawing.
        label: Name and loss.
        glyphs: Characters to draw with.
    """
    cells = {(row, column): glyphs.baseline for column in range(columns)}
    for start in range(columns - len(label), -1, -1):
        label_cells = [(row, start + i) for i in range(len(label))]
        if not drawn.keys() & set(label_cells):
            return cells | dict(zip(label_cells, label, strict=True))
    return cells
