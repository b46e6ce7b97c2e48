"""Fixtures that several test files share."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.trained_checkpoint import trained

if TYPE_CHECKING:
    from tests.support.training_runs import RunCommand  # which needs torch

__all__ = ["trained"]


@pytest.fixture
def trainer(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> RunCommand:
    """Call the command in a folder of its own: exit code, output, errors."""
    import torch

    from trainer import cli

    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["trainer", *map(str, arguments)])
        code = 0
        try:
            cli.main()
        except SystemExit as ended:
            code = int(ended.code or 0)
        captured = capfd.readouterr()
        return code, captured.out, captured.err

    return call
