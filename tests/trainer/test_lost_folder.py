"""Runs whose folder goes away, or whose disk is full: one line, and all that was saved is whole."""

from __future__ import annotations

import re
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.training_runs import PLAN, SMALL, Clock, same_weights, start_command, text_file, tiny
from trainer.checkpoint import read_resume
from trainer.errors import WriteError
from trainer.runtime import run as runtime_run
from trainer.runtime.run import Run, read_metrics
from trainer.train import resume, train


@pytest.fixture
def short_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seconds of waiting are no part of what is tested."""
    monkeypatch.setattr(runtime_run, "RETRY_SECONDS", 0.2)
    monkeypatch.setattr(runtime_run, "RETRY_PAUSE", 0.05)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run that nothing disturbed."""
    folder = tmp_path_factory.mktemp("whole")
    return train(tiny(folder), folder / "run", PLAN)


@pytest.mark.parametrize("look", [4, 7, 8, 12, 17])
@pytest.mark.usefixtures("short_wait")
def test_a_folder_that_goes_away_ends_the_run_with_what_was_saved_and_how_to_go_on(
    look: int, whole: Run, tmp_path: Path
) -> None:
    drive, away = tmp_path / "drive", tmp_path / "away"
    drive.mkdir()
    run = Run(drive / "a run")
    with pytest.raises(WriteError) as error:
        train(tiny(tmp_path), run.path, PLAN, clock=Clock({look: lambda _: drive.rename(away)}))
    assert not drive.exists()  # nothing was written where it had been
    away.rename(drive)
    told = str(error.value)
    assert f"{run.path} can no longer be written: the folder is gone." in told
    if run.last.exists():
        step = read_resume(run.last)[0].step
        assert f"The run was saved last after step {step}, in {run.last}." in told
        assert told.endswith(f"trainer train --resume '{run.path}'")
    else:
        assert told.endswith("Nothing was saved yet: start again")
    assert not list(run.path.glob(".*"))
    resume(run.path)
    assert same_weights(run, whole) and same_weights(run, whole, "best")
    assert [line["step"] for line in read_metrics(run)] == list(range(1, 13))


@pytest.mark.usefixtures("short_wait")
def test_an_empty_folder_in_place_of_a_drive_is_left_empty(tmp_path: Path) -> None:
    folder = tmp_path / "drive"

    def unmount(_: Clock) -> None:
        folder.rename(tmp_path / "away")
        folder.mkdir()

    with pytest.raises(WriteError, match="the folder is gone"):
        train(tiny(tmp_path), folder, PLAN, clock=Clock({9: unmount}))
    assert not list(folder.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("look", [4, 8, 12, 17])
def test_a_folder_that_is_back_soon_disturbs_nothing(look: int, whole: Run, tmp_path: Path) -> None:
    drive, away = tmp_path / "drive", tmp_path / "away"
    drive.mkdir()

    def go_away(_: Clock) -> None:
        drive.rename(away)
        threading.Timer(1.0, away.rename, (drive,)).start()

    run = train(tiny(tmp_path), drive / "run", PLAN, clock=Clock({look: go_away}))
    assert same_weights(run, whole) and same_weights(run, whole, "best")
    assert [line["step"] for line in read_metrics(run)] == list(range(1, 13))
    assert run.samples.read_bytes() == whole.samples.read_bytes()


@pytest.fixture
def file_limit() -> Iterator[None]:
    """Tests may limit the size of this process's files, as a full disk does."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on the size of files")
@pytest.mark.parametrize("size", [0, 100, 20_000])
@pytest.mark.usefixtures("short_wait", "file_limit")
def test_a_full_disk_ends_the_run_with_one_line_and_leaves_nothing_half_written(
    size: int, whole: Run, tmp_path: Path
) -> None:
    import resource

    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    clock = Clock({9: lambda _: resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))})
    run = Run(tmp_path / "run")
    with pytest.raises(WriteError, match=r"can no longer be written: .*saved last after step 4, in "):
        train(tiny(tmp_path), run.path, PLAN, clock=clock)
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    assert not list(run.path.glob(".*"))
    assert run.metrics.read_bytes().endswith(b"}\n")
    assert read_resume(run.last)[0].step == 4
    resume(run.path)
    assert same_weights(run, whole) and same_weights(run, whole, "best")
    assert [line["step"] for line in read_metrics(run)] == list(range(1, 13))


@pytest.mark.slow
def test_a_real_run_whose_drive_is_pulled_out_ends_with_one_line(tmp_path: Path) -> None:
    (tmp_path / "drive").mkdir()
    arguments = ("--corpus", text_file(tmp_path), *SMALL, "--steps", "2000", "--out", "drive/mine")
    with start_command("train", *arguments, cwd=tmp_path) as process:
        last = tmp_path / "drive/mine/last.safetensors"
        while process.poll() is None and not last.exists():
            time.sleep(0.01)
        (tmp_path / "drive").rename(tmp_path / "away")
        _, err = process.communicate(timeout=120)
    assert process.returncode == 1
    assert re.fullmatch(r"Error: drive/mine can no longer be written: .*trainer train --resume drive/mine\n", err)
    assert str(read_resume(tmp_path / "away/mine/last.safetensors")[0].step) in err.replace(",", "")
