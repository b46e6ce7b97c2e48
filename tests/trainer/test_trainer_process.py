"""The `trainer` command in processes of its own: killed, interrupted, at a terminal."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.training_runs import SMALL, command, same_weights, start_command, text_file
from trainer.checkpoint import read_resume
from trainer.plan import Plan, Revision, write_plan
from trainer.runtime.run import Run, read_config
from trainer.train import resume, train

LONG = Plan((Revision(0, 400, 20),))


def start_long(folder: Path) -> subprocess.Popen[str]:
    """A run in its own process, with many evaluations to come."""
    write_plan(folder / "long.json", LONG)
    arguments = ("--corpus", text_file(folder), *SMALL, "--plan", "long.json", "--out", "run")
    return start_command("train", *arguments, cwd=folder)


def read_until(process: subprocess.Popen[str], text: str) -> None:
    """Read its output up to a line with `text` in it."""
    assert process.stdout is not None
    for line in process.stdout:
        if text in line:
            return
    raise AssertionError(f"it ended without saying {text!r}: {process.communicate()[1]}")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals in Python")
def test_a_terminal_shows_losses_the_time_left_a_fresh_verse_and_at_the_end_the_curve(tmp_path: Path) -> None:
    import pty
    import termios

    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (30, 100))
    arguments = (
        "--corpus",
        text_file(tmp_path, 60_000),
        *SMALL,
        "--device",
        "cpu",
        "--minutes",
        "0.2",
        "--out",
        "run",
    )
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONIOENCODING": "utf-8"}
    with subprocess.Popen(command("train", *arguments), cwd=tmp_path, env=environment, stdout=theirs, stderr=theirs):
        os.close(theirs)
        shown = b""
        with contextlib.suppress(OSError):  # a terminal whose last program has ended
            while piece := os.read(ours, 2**16):
                shown += piece
    os.close(ours)
    lines = shown.decode().replace("\r", "\n").split("\n")
    bars = [line for line in lines if re.search(r"\d+%\|.*/[\d]+ \[.*train \d\.\d{3}", line)]
    left = [int(found[1]) for line in bars if (found := re.search(r"<00:(\d\d)", line))]
    assert left == sorted(left, reverse=True), "the time left is that of the budget: it only falls"
    assert 1 <= max(left) <= 12
    verses = [line for line in lines if re.match(r"(\x1b\[A|\x1b\[K)*    \S", line)]
    assert verses, "a fresh verse under the bar"
    assert any("● best: " in line for line in lines), "the curve"
    assert any(line.startswith("Best validation loss") for line in lines)


@pytest.mark.slow
def test_a_run_killed_with_force_and_resumed_ends_in_the_same_bits(tmp_path: Path) -> None:
    with start_long(tmp_path) as process:
        read_until(process, "step 60/")
        process.kill()
    killed = Run(tmp_path / "run")
    assert read_resume(killed.last)[0].step < 400
    config, _ = read_config(killed)
    whole = train(config, tmp_path / "whole", LONG)
    assert same_weights(resume(killed.path), whole)
    assert same_weights(killed, whole, "best")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no way to press Ctrl-C for one process alone")
def test_ctrl_c_exits_130_and_shows_the_command_that_resumes(tmp_path: Path) -> None:
    with start_long(tmp_path) as process:
        read_until(process, "step 40/")
        process.send_signal(signal.SIGINT)
        _, err = process.communicate()
    assert process.returncode == 130
    assert err.endswith("Resume it with: trainer train --resume run\n")
    assert "Traceback" not in err
    step = read_resume(tmp_path / "run" / "last.safetensors")[0].step
    assert f"after step {step}" in err
    with start_command("train", "--resume", "run", cwd=tmp_path) as process:
        out, _ = process.communicate()
    assert process.returncode == 0
    assert f"resuming from step {step}" in out
    assert read_resume(tmp_path / "run" / "last.safetensors")[0].step == 400
