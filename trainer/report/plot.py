"""The loss curve as a picture: one run with its marks, or several runs over each other."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from trainer.errors import RunError
from trainer.metrics import RATIO, bits_per_character, mark_names
from trainer.runtime.run import Run, points, read_config, read_metrics, rise_of
from trainer.verse.files import write_atomically

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

INK, GREY, PALE = "#1f2430", "#6b7280", "#e3e6ec"
TRAIN, VAL, BEST = "#9db4d6", "#1d4e9e", "#c2410c"
COLOURS = ("#1d4e9e", "#c2410c", "#2f7d4f", "#7c3aed", "#b08900", "#0e7490", "#be185d", "#4b5563")
SIZE = (9.0, 5.2)  # inches
DPI = 150


def draw(folders: Sequence[Path], out: Path | None = None) -> Path:
    """Draw one run, or several over each other; the picture's path.

    Raises:
        RunError: one of them is no run, or has nothing to draw yet; or `out` names no PNG.
    """
    if out is not None and out.suffix.lower() != ".png":
        raise RunError(f"the picture is a PNG: give --out a name that ends in .png, not {out.name}")
    runs = [Run(folder) for folder in folders]
    for run in runs:
        read_config(run)
    return draw_run(runs[0], out) if len(runs) == 1 else draw_runs(runs, out or Path("curves.png"))


def draw_run(run: Run, out: Path | None = None) -> Path:
    """Draw a run's losses, its best point and its corpus's marks, into its folder unless `out` says otherwise.

    Raises:
        RunError: there is nothing to draw yet.
    """
    config, corpus = read_config(run)
    train, val = points(run, "train_loss"), points(run, "val_loss")
    best = min(val, key=lambda point: point[1])
    known = mark_names(config.tokenizer)
    kind = "" if config.tokenizer == "char" else f", {config.tokenizer}"
    figure, axes = _paper(f"{corpus['name']}: {config.arch} {config.preset}, {config.n_layer} x {config.n_embd}{kind}")
    end = train[-1][0]
    axes.plot(*zip(*train, strict=True), color=TRAIN, linewidth=1.3)
    axes.plot(*zip(*val, strict=True), color=VAL, linewidth=2.2, marker="o", markersize=4)
    axes.plot(*best, color=BEST, marker="o", markersize=9, zorder=5)
    for name, loss in corpus["marks"].items():
        axes.axhline(loss, color=GREY, linewidth=0.9, linestyle=(0, (4, 4)))
        axes.annotate(
            f"{known[name]} {loss:.2f}", (end, loss), (0, 3), textcoords="offset points", color=GREY, ha="right"
        )
    label = f"best {best[1]:.3f} at step {best[0]:,}"
    if config.tokenizer != "char":
        label += f"\n{bits_per_character(best[1], corpus[RATIO]):.3f} bits a character"
    if rise := rise_of(read_metrics(run), config.block_size):
        axes.axvspan(best[0], end, color=BEST, alpha=0.07, linewidth=0)
        label += "\nafter it: over-fitting" if rise.over_fitting else "\nafter it: it rose, in training, too"
    low, high = min(loss for _, loss in train + val), max(corpus["marks"].values())
    axes.set_ylim(low - 0.22 * (high - low), high + 0.1 * (high - low))
    towards = "left" if best[0] < end / 2 else "right"  # the label stays inside the picture
    above = (0, 14)  # points: below runs the training loss
    axes.annotate(
        label,
        best,
        above,
        textcoords="offset points",
        va="bottom",
        ha=towards,
        color=BEST,
        weight="bold",
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 2},
        zorder=6,
    )
    beside_title = (1.0, 1.0)
    names = ["training", "validation"]
    axes.legend(names, loc="lower right", bbox_to_anchor=beside_title, ncols=2, frameon=False, labelcolor=INK)
    return _save(figure, out or run.curve)


def draw_runs(runs: Sequence[Run], out: Path) -> Path:
    """Draw the validation losses of several runs over each other, in bits a character where their tokens differ.

    Raises:
        RunError: one of them has nothing to draw yet.
    """
    ratios = [read_config(run)[1][RATIO] for run in runs]
    in_bits = len(set(ratios)) > 1
    figure, axes = _paper("validation loss", "bits a character" if in_bits else "nats a token")
    curves: list[Line2D] = []
    names = []
    is_unique = len({run.path.name for run in runs}) == len(runs)
    for number, (run, ratio) in enumerate(zip(runs, ratios, strict=True)):
        val = points(run, "val_loss")
        if in_bits:
            val = [(step, bits_per_character(loss, ratio)) for step, loss in val]
        best = min(val, key=lambda point: point[1])
        colour = COLOURS[number % len(COLOURS)]
        style = "-" if number < len(COLOURS) else "--"
        curves += axes.plot(*zip(*val, strict=True), style, color=colour, linewidth=2, marker="o", markersize=3.5)
        names.append(f"{run.path.name if is_unique else run.path}: {best[1]:.3f}")
        axes.plot(*best, color=colour, marker="o", markersize=9)
    for name in axes.legend(curves, names, frameon=False, labelcolor=INK).get_texts():
        name.set_parse_math(False)
    return _save(figure, out)


def _paper(title: str, unit: str = "nats a token") -> tuple[Figure, Axes]:
    """Axes without ornament."""
    from matplotlib.figure import Figure  # not pyplot: no window, no global state, and half the time to load
    from matplotlib.ticker import FuncFormatter

    figure = Figure(figsize=SIZE, dpi=DPI, layout="constrained")
    axes = figure.subplots()
    axes.set_title(title, loc="left", color=INK, weight="bold", pad=14, parse_math=False)  # names may hold a $
    axes.set_xlabel("steps", color=INK)
    axes.set_ylabel(f"loss, {unit}", color=INK)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda step, _: f"{step:,.0f}"))
    axes.tick_params(colors=GREY, length=0)
    axes.grid(color=PALE, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.margins(x=0.02)
    axes.spines[:].set_visible(False)
    return figure, axes


def _save(figure: Figure, path: Path) -> Path:
    picture = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # a name in letters that the font lacks shows boxes, and that is all
        figure.savefig(picture, format="png", metadata={"Software": None})
    write_atomically(path, picture.getvalue())
    return path
