"""Curves as pictures."""

from __future__ import annotations

import json
import shutil
import struct
from pathlib import Path
from typing import Any

import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tests.support.training_runs import PLAN, Clock, Killed, die, tiny
from trainer.errors import RunError
from trainer.report.plot import plot_runs
from trainer.runtime.run import NOISE, LossRise, Run, loss_curve, loss_rise, read_metrics
from trainer.train import train


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished run."""
    folder = tmp_path_factory.mktemp("plotted")
    return train(tiny(folder), folder / "run", PLAN)


def size(path: Path) -> tuple[int, int]:
    """Width and height of a PNG, from its header."""
    data = path.read_bytes()
    assert data.startswith(b"\x89PNG\r\n\x1a\n")
    return struct.unpack(">II", data[16:24])


def test_a_run_draws_its_curve_in_its_folder_and_the_same_one_again(run: Run) -> None:
    before = run.curve.read_bytes()
    run.curve.unlink()
    assert plot_runs([run.path]) == run.curve
    assert run.curve.read_bytes() == before
    assert size(run.curve) == (1350, 780)


def drawn(folders: list[Path], out: Path | None, monkeypatch: pytest.MonkeyPatch) -> Axes:
    """What is drawn, before it becomes a picture."""
    figures: list[Figure] = []
    save = Figure.savefig

    def watched_save(figure: Figure, *arguments: Any, **options: Any) -> None:
        figures.append(figure)
        save(figure, *arguments, **options)

    monkeypatch.setattr(Figure, "savefig", watched_save)
    assert size(plot_runs(folders, out)) == (1350, 780)
    return figures[0].axes[0]


def test_runs_are_drawn_over_each_other_each_with_its_name_and_best_loss(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b", "other"):
        shutil.copytree(run.path, tmp_path / name / ("run" if name < "c" else name))
    one, other = tmp_path / "a" / "run", tmp_path / "other" / "other"
    axes = drawn([one, other], None, monkeypatch)
    assert Path("curves.png").exists()
    best = min(loss for _, loss in loss_curve(run, "val_loss"))
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [f"run: {best:.3f}", f"other: {best:.3f}"]
    assert list(axes.lines[0].get_xdata()) == [4, 8, 12]
    assert list(axes.lines[0].get_ydata()) == [loss for _, loss in loss_curve(run, "val_loss")]
    alike = [tmp_path / name / "run" for name in ("a", "b")]
    texts = [text.get_text() for text in drawn(alike, None, monkeypatch).get_legend().get_texts()]
    assert texts == [f"{path}: {best:.3f}" for path in alike]  # by their folders, since both are called run
    many = drawn([one] * 12, tmp_path / "many.png", monkeypatch)
    looks = {(line.get_color(), line.get_linestyle()) for line in many.lines[::2]}
    assert len(looks) == 12  # more than there are colours


def test_names_are_shown_as_they_are(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    folder = tmp_path / "_$5_or_$6"
    shutil.copytree(run.path, folder)
    config = json.loads((folder / "config.json").read_text())
    config["corpus"]["name"] = "$5_or_$6 \u6708"  # a letter that no font here has, too
    (folder / "config.json").write_text(json.dumps(config))
    axes = drawn([folder], None, monkeypatch)
    assert "$5_or_$6 \u6708: modern small" in axes.get_title("left")
    named = drawn([folder, run.path], tmp_path / "two.png", monkeypatch).get_legend().get_texts()
    assert [text.get_text().split(":")[0] for text in named] == ["_$5_or_$6", "run"]
    assert not list(recwarn)


def test_a_run_that_was_never_evaluated_has_no_curve(tmp_path: Path) -> None:
    with pytest.raises(Killed):
        train(tiny(tmp_path), tmp_path / "run", PLAN, clock=Clock({4: die}))
    with pytest.raises(RunError, match="never evaluated"):
        plot_runs([tmp_path / "run"])
    with pytest.raises(RunError, match="is not a run"):
        plot_runs([tmp_path])
    with pytest.raises(RunError, match="is not a run"):
        plot_runs([tmp_path, tmp_path])


def metrics(*losses: tuple[float, float], context: int = 16) -> list[dict[str, Any]]:
    return [
        {"step": step, "context": context, "train_loss": train, "val_loss": val}
        for step, (train, val) in enumerate(losses, start=1)
    ]


def test_over_fitting_is_a_rise_beyond_noise_while_the_training_loss_falls() -> None:
    assert loss_rise(metrics((3.0, 3.0), (2.0, 2.0), (1.0, 2.0 + NOISE / 2)), 16) is None
    assert loss_rise(metrics((3.0, 3.0), (2.5, 2.5), (2.0, 2.0)), 16) is None
    assert loss_rise(metrics((3.0, 3.0), (2.0, 2.0), (1.0, 2.5)), 16) == LossRise(0.5, over_fitting=True)
    assert loss_rise(metrics((3.0, 3.0), (2.0, 2.0), (2.4, 2.5)), 16) == LossRise(0.5, over_fitting=False)
    assert loss_rise(metrics((3.0, 3.0), (2.0, 2.0), (1.0, 2.5), context=8), 16) is None  # it has not yet seen the rest


@pytest.mark.parametrize(
    ("train", "context", "says"),
    [(1.0, 16, "then over-fitting"), (9.0, 16, "then both losses rose"), (1.0, 8, "")],
)
def test_the_picture_labels_over_fitting(
    train: float, context: int, says: str, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(run.path, tmp_path / "run")
    lines = read_metrics(run)
    lines[-1] |= {"val_loss": 5.0, "train_loss": train, "context": context}
    (tmp_path / "run" / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    [label] = [text.get_text() for text in drawn([tmp_path / "run"], None, monkeypatch).texts if "best" in str(text)]
    assert label.partition("\n")[2] == says
