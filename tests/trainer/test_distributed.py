"""Several processes on one model: the same losses as one process alone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from tests.support.training_runs import command, same_weights, text_file
from trainer.checkpoint import read_resume
from trainer.cli import cli
from trainer.plan import read_plan
from trainer.runtime.run import Run, read_config, read_metrics

SIZE = ["--n-layer", "2", "--n-head", "2", "--n-embd", "32", "--block-size", "16", "--precision", "float32"]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="torch's builds for Windows have no libuv for torchrun"),
]


COMMAND = "from trainer.cli import main\nmain()\n"
AND_THREADS = r"""
import os
from pathlib import Path
from trainer.cli import main
try:
    main()
finally:
    names = (path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm"))
    os.write(1, f"threads: {' '.join(names)}\n".encode())  # in one piece, so that two processes keep their lines apart
"""


def start(folder: Path, processes: int, *options: str | Path, code: str = COMMAND) -> subprocess.Popen[str]:
    """`trainer train` under torchrun, on the processor."""
    script = folder / "trainer_command.py"
    script.write_text(code)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])}
    return subprocess.Popen(
        [*torchrun, script, "train", *options],
        env=environment,
        cwd=folder,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def begin(folder: Path, *options: str, code: str = COMMAND) -> subprocess.Popen[str]:
    """Two of them begin a run."""
    return start(folder, 2, "--corpus", text_file(folder), *SIZE, *options, code=code)


def losses(run: Path) -> list[float]:
    return [line["val_loss"] for line in read_metrics(Run(run)) if "val_loss" in line]


@pytest.mark.parametrize("optimizer", ["muon", "adamw"])
def test_two_processes_have_the_losses_of_one(optimizer: str, tmp_path: Path) -> None:
    options = ["--batch-size", "8", "--steps", "100", "--optimizer", optimizer, "--learning-rate", "0.01"]
    corpus = ["--corpus", str(text_file(tmp_path))]
    torch.set_num_threads(1)
    cli.main(["train", *corpus, *SIZE, *options, "--out", str(tmp_path / "one")], standalone_mode=False)
    with begin(tmp_path, *options, "--out", "two") as process:
        out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert out.count("Best validation loss") == 1, err  # one of them talks
    one, two = (read_metrics(Run(tmp_path / name)) for name in ("one", "two"))
    assert [line["step"] for line in one] == [line["step"] for line in two] == list(range(1, 101))
    for name in ("train_loss", "val_loss"):
        pairs = [(a[name], b[name]) for a, b in zip(one, two, strict=True) if name in a]
        assert len(pairs) >= 2
        assert all(abs(a - b) <= 1e-4 for a, b in pairs), pairs


def test_two_processes_heed_ctrl_c_at_once_however_long_the_run(tmp_path: Path) -> None:
    with begin(tmp_path, "--batch-size", "8", "--steps", "10000000", "--out", "run") as process:
        assert process.stdout is not None
        while "10,000,000 steps of" not in process.stdout.readline():
            pass
        time.sleep(1)  # it is in the middle of them, and 100,000 before the first record
        os.killpg(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=120)
    assert "and saved. Resume it with: trainer train --resume run" in err


def test_two_processes_that_were_stopped_go_on_to_the_same_bits(tmp_path: Path) -> None:
    options = ("--batch-size", "8", "--steps", "100", "--dropout", "0.1")
    with begin(tmp_path, *options, "--out", "whole") as process:
        _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    with begin(tmp_path, *options, "--out", "stopped") as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("step 50/"):
                break
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        process.communicate(timeout=120)
    stopped = Run(tmp_path / "stopped")
    assert 50 <= read_resume(stopped.last)[0].step < 100
    assert stopped.plan.exists()
    ended = subprocess.run(command("info", "stopped"), cwd=tmp_path, text=True, capture_output=True, check=True).stdout
    assert "resume it with trainer train --resume stopped" in ended
    alone = subprocess.run(command("train", "--resume", "stopped"), cwd=tmp_path, text=True, capture_output=True)
    assert alone.returncode == 1
    assert "started with 2 processes, and now there is 1: resume it under torchrun" in alone.stderr
    with start(tmp_path, 2, "--resume", "stopped") as process:
        _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert read_config(stopped)[0].processes == 2
    assert same_weights(stopped, Run(tmp_path / "whole"))
    assert same_weights(stopped, Run(tmp_path / "whole"), "best")


def test_two_processes_keep_to_minutes_with_one_plan(tmp_path: Path) -> None:
    with begin(tmp_path, "--batch-size", "8", "--minutes", "0.2", "--out", "run") as process:
        _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    run = Run(tmp_path / "run")
    assert read_metrics(run)[-1]["step"] == read_plan(run.plan).steps
    assert losses(run.path)
    assert read_metrics(run)[-1]["seconds"] < 2 * 12  # by its own clock; other programs may take some


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lists the threads of a process in files")
def test_no_thread_of_the_process_group_is_left_when_python_ends(tmp_path: Path) -> None:
    """One that was would abort the process, once in many runs: it may need Python when there is none."""
    with begin(tmp_path, "--batch-size", "8", "--steps", "20", code=AND_THREADS) as process:
        out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    threads = [line for line in out.splitlines() if line.startswith("threads: ")]
    assert len(threads) == 2
    assert "gloo" not in "".join(threads)


def test_a_batch_that_cannot_be_shared_is_refused(tmp_path: Path) -> None:
    with begin(tmp_path, "--steps", "1", "--batch-size", "3") as process:
        _, err = process.communicate(timeout=120)
    assert process.returncode != 0
    assert "give a --batch-size that is a multiple of 2" in err
    assert not (tmp_path / "runs").exists()
