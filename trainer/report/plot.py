"""The loss curve as a picture: one run with its baselines, or several runs in one picture."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from trainer.errors import RunError
from trainer.metrics import TOKENS_PER_CHARACTER, baseline_names, bits_per_character
from trainer.plan import read_plan
from trainer.runtime.run import Run, loss_curve, loss_rise, read_config, read_metrics
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


def plot_runs(folders: Sequence[Path], out: Path | None = None) -> Path:
    """Plot one run, or several in one picture, and return the picture's path.

    Args:
        folders: The runs' folders.
        out: The picture; None for curve.png of one run, or curves.png of several.

    Raises:
        RunError: A folder is not a run, or was never evaluated; or `out` is not the name of a PNG.
    """
    if out is not None and out.suffix.lower() != ".png":
        raise RunError(f"the picture is a PNG: give --out a name that ends in .png, not {out.name}")
    runs = [Run(folder) for folder in folders]
    for run in runs:
        read_config(run)
    return plot_run(runs[0], out) if len(runs) == 1 else plot_comparison(runs, out or Path("curves.png"))


def plot_run(run: Run, out: Path | None = None) -> Path:
    """Plot a run's losses, its best point and its corpus's baselines, into its folder unless `out` is given.

    Raises:
        RunError: The run was never evaluated.
    """
    config, corpus = read_config(run)
    train, val = loss_curve(run, "train_loss"), loss_curve(run, "val_loss")
    best = min(val, key=lambda point: point[1])
    names = baseline_names(config.tokenizer)
    tokenizer = "" if config.tokenizer == "char" else f", {config.tokenizer}"
    title = f"{corpus['name']}: {config.arch} {config.preset}, {config.n_layer} x {config.n_embd}{tokenizer}"
    figure, axes = _new_axes(title)
    end = train[-1][0]
    axes.plot(*zip(*train, strict=True), color=TRAIN, linewidth=1.3)
    axes.plot(*zip(*val, strict=True), color=VAL, linewidth=2.2, marker="o", markersize=4)
    axes.plot(*best, color=BEST, marker="o", markersize=9, zorder=5)
    for name, loss in corpus["baselines"].items():
        axes.axhline(loss, color=GREY, linewidth=0.9, linestyle=(0, (4, 4)))
        axes.annotate(
            f"{names[name]} {loss:.2f}", (end, loss), (0, 3), textcoords="offset points", color=GREY, ha="right"
        )
    label = f"best {best[1]:.3f} at step {best[0]:,}"
    if config.tokenizer != "char":
        label += f"\n{bits_per_character(best[1], corpus[TOKENS_PER_CHARACTER]):.3f} bits per character"
    for start in read_plan(run.plan).round_starts[1:]:
        axes.axvline(start, color=GREY, linewidth=0.9, linestyle=(0, (1, 3)))  # a further round begins
    if rise := loss_rise(read_metrics(run), config.block_size):
        axes.axvspan(best[0], end, color=BEST, alpha=0.07, linewidth=0)
        label += "\nthen over-fitting" if rise.over_fitting else "\nthen both losses rose"
    low, high = min(loss for _, loss in train + val), max(corpus["baselines"].values())
    axes.set_ylim(low - 0.22 * (high - low), high + 0.1 * (high - low))
    alignment = "left" if best[0] < end / 2 else "right"  # keeps the label inside the picture
    above = (0, 14)  # points: the training loss is below
    axes.annotate(
        label,
        best,
        above,
        textcoords="offset points",
        va="bottom",
        ha=alignment,
        color=BEST,
        weight="bold",
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 2},
        zorder=6,
    )
    beside_title = (1.0, 1.0)
    labels = ["training", "validation"]
    axes.legend(labels, loc="lower right", bbox_to_anchor=beside_title, ncols=2, frameon=False, labelcolor=INK)
    return _save(figure, out or run.curve)


def plot_comparison(runs: Sequence[Run], out: Path) -> Path:
    """Plot the validation losses of several runs, in bits per character if their tokens differ.

    Raises:
        RunError: A run was never evaluated.
    """
    ratios = [read_config(run)[1][TOKENS_PER_CHARACTER] for run in runs]
    in_bits = len(set(ratios)) > 1
    figure, axes = _new_axes("validation loss", "bits per character" if in_bits else "nats per token")
    curves: list[Line2D] = []
    names = []
    is_unique = len({run.path.name for run in runs}) == len(runs)
    for number, (run, ratio) in enumerate(zip(runs, ratios, strict=True)):
        val = loss_curve(run, "val_loss")
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


def _new_axes(title: str, unit: str = "nats per token") -> tuple[Figure, Axes]:
    """Return plain axes for losses by step."""
    from matplotlib.figure import Figure  # not pyplot: no window, no global state, and half the loading time
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
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # letters that the font lacks are shown as boxes
        figure.savefig(buffer, format="png", metadata={"Software": None})
    write_atomically(path, buffer.getvalue())
    return path
