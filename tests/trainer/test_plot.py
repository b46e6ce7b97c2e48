"""Curves as pictures."""

from __future__ import annotations

import json
import shutil
import struct
from pathlib import Path

import pytest

from tests.trainer.trainer_runs import PLAN, Clock, Killed, die, tiny
from trainer.errors import RunError
from trainer.plot import draw
from trainer.run import NOISE, Run, over_fitted
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
    assert draw([run.path]) == run.curve
    assert run.curve.read_bytes() == before
    assert size(run.curve) == (1350, 780)


def test_runs_are_drawn_over_each_other(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert size(draw([run.path, run.path])) == (1350, 780)
    assert Path("curves.png").exists()
    assert draw([run.path] * 12, tmp_path / "many.png").exists()  # more than there are colours


def test_names_are_shown_as_they_are(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "_$5_or_$6"
    shutil.copytree(run.path, folder)
    config = json.loads((folder / "config.json").read_text())
    config["corpus"]["name"] = "$5_or_$6"
    (folder / "config.json").write_text(json.dumps(config))
    assert draw([folder]).exists()
    [named, other] = [draw([path, run.path], tmp_path / "two.png").read_bytes() for path in (folder, run.path)]
    assert len(named) > len(other)  # a longer name in the legend, not none


def test_a_run_that_was_never_evaluated_has_no_curve(tmp_path: Path) -> None:
    with pytest.raises(Killed):
        train(tiny(tmp_path), tmp_path / "run", PLAN, clock=Clock({4: die}))
    with pytest.raises(RunError, match="never evaluated"):
        draw([tmp_path / "run"])
    with pytest.raises(RunError, match="is no run"):
        draw([tmp_path])
    with pytest.raises(RunError, match="is no run"):
        draw([tmp_path, tmp_path])


def test_over_fitting_is_a_rise_beyond_noise() -> None:
    assert over_fitted([(1, 3.0), (2, 2.0), (3, 2.0 + NOISE / 2)]) == 0.0
    assert over_fitted([(1, 3.0), (2, 2.0), (3, 2.5)]) == pytest.approx(0.5)
    assert over_fitted([(1, 3.0), (2, 2.5), (3, 2.0)]) == 0.0
