"""The loss curve in characters, for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass

from trainer.metrics import mark_names
from trainer.runtime.run import Run, points, read_config

Points = Sequence[tuple[int, float]]  # step and loss
Cell = tuple[int, int]  # row, from the top, and column

# What each dot of a character adds to its number, by row and column of the dot; so Unicode numbers braille.
DOTS = ((1, 8), (2, 16), (4, 32), (64, 128))
WIDEST, ROWS = 100, 18  # of a run's curve
LEAST_COLUMNS, LEAST_ROWS = 24, 4  # of the drawing: with less there is nothing to see


@dataclass(frozen=True)
class Pen:
    """Characters to draw with."""

    across: int  # dots in a character
    down: int
    dots: str  # the characters that have these dots, by number
    mark: str
    point: str
    best: str
    side: str
    corner: str
    floor: str


FINE = Pen(2, 4, "".join(map(chr, range(0x2800, 0x2900))), "┈", "○", "●", "│", "└", "─")
PLAIN = Pen(1, 2, " '.:", "-", "o", "*", "|", "+", "-")


def curve_of(run: Run, columns: int, encoding: str) -> str:
    """A run's losses and its corpus's marks, in at most so many columns of a terminal.

    Raises:
        RunError: there is nothing to draw yet.
    """
    config, corpus = read_config(run)
    names = mark_names(config.tokenizer)
    marks = {names[name]: loss for name, loss in corpus["marks"].items()}
    width = min(columns, WIDEST)
    return curve(points(run, "train_loss"), points(run, "val_loss"), marks, width, ROWS, encoding)


def curve(
    train: Points, val: Points, marks: Mapping[str, float], width: int, height: int, encoding: str = "utf-8"
) -> str:
    """Draw a run's losses: a line for training, points for validation, the best one filled, dashes for the marks.

    Args:
        train, val: at least one point each, by step.
        marks: losses to compare with, by what to call them.
        width, height: of all of it, in characters.
        encoding: the terminal's; where it has no braille, ASCII has to do.
    """
    pen = pen_for(encoding)
    best_step, best_loss = min(val, key=lambda point: point[1])
    losses = [loss for _, loss in (*train, *val)]
    top, bottom = max(*losses, *marks.values()), min(losses)
    first, last = min(train[0][0], val[0][0]), max(train[-1][0], val[-1][0])
    labels = [f"{top:.2f}", f"{bottom:.2f}"]
    margin = max(map(len, labels))
    columns, rows = max(LEAST_COLUMNS, width - margin - 2), max(LEAST_ROWS, height - 3)
    wide, high = columns * pen.across - 1, rows * pen.down - 1  # the last dot, each way

    def place(step: int, loss: float) -> tuple[int, int]:
        """The dot, from the left and from the top."""
        x = (step - first) / ((last - first) or 1) * wide
        y = (top - loss) / ((top - bottom) or 1) * high
        return round(x), round(y)

    def cell(step: int, loss: float) -> Cell:
        x, y = place(step, loss)
        return y // pen.down, x // pen.across

    drawn = _line([place(*point) for point in train], pen)
    drawn |= {cell(*point): pen.point for point in val}
    drawn[cell(best_step, best_loss)] = pen.best
    for name, loss in marks.items():
        row = cell(first, loss)[0]
        drawn = _mark(drawn, row, columns, f" {name} {loss:.2f} ", pen) | drawn
    lines = ["".join(drawn.get((row, column), " ") for column in range(columns)) for row in range(rows)]
    sides = [labels[0], *[""] * (rows - 2), labels[1]]
    legend = f"{pen.dots[-1]} training  {pen.point} validation  {pen.best} best: {best_loss:.3f} at step {best_step:,}"
    return "\n".join(
        [
            *(f"{side:>{margin}} {pen.side}{line}".rstrip() for side, line in zip(sides, lines, strict=True)),
            f"{'':>{margin}} {pen.corner}{pen.floor * columns}",
            f"{'':>{margin}}  step {first:,}{f'{last:,}':>{columns - len(f'step {first:,}')}}",
            f"{'':>{margin}}  {legend}",
        ]
    )


def pen_for(encoding: str) -> Pen:
    """The finer one, if the terminal knows its characters."""
    try:
        "".join(map(str, astuple(FINE))).encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return PLAIN
    return FINE


def _line(dots: Sequence[tuple[int, int]], pen: Pen) -> dict[Cell, str]:
    """Characters along the dots, from each to the next without a gap."""
    numbers: dict[Cell, int] = {}
    for (x0, y0), (x1, y1) in zip(dots, [*dots[1:], dots[-1]], strict=True):
        steps = max(abs(x1 - x0), abs(y1 - y0), 1)
        for i in range(steps + 1):
            x, y = round(x0 + (x1 - x0) * i / steps), round(y0 + (y1 - y0) * i / steps)
            at = (y // pen.down, x // pen.across)
            numbers[at] = numbers.get(at, 0) | DOTS[y % pen.down][x % pen.across]
    return {at: pen.dots[number] for at, number in numbers.items()}


def _mark(drawn: Mapping[Cell, str], row: int, columns: int, label: str, pen: Pen) -> dict[Cell, str]:
    """Dashes across a row, and the label as far to the right as nothing is in its way, or not at all."""
    cells = {(row, column): pen.mark for column in range(columns)}
    for start in range(columns - len(label), -1, -1):
        wanted = [(row, start + i) for i in range(len(label))]
        if not drawn.keys() & set(wanted):
            return cells | dict(zip(wanted, label, strict=True))
    return cells
