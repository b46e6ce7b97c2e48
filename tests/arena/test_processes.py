"""Child processes: they run the code of their parent, and end when it ends."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from arena.processes import CODE_FOLDER, python_command


def test_a_child_runs_the_code_of_its_parent_in_any_folder(tmp_path: Path) -> None:
    (tmp_path / "arena.py").write_text("raise SystemExit('the wrong code')")
    command = python_command("arena.cli:main", "event", "show", "--dir", str(tmp_path))
    completed = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env={})
    assert (completed.returncode, "holds no event" in completed.stderr) == (1, True), completed.stderr


@pytest.mark.parametrize(("last_action", "output"), [("None", ""), ("lambda: print('last', flush=True)", "last\n")])
def test_a_child_whose_input_ends_does_its_last_action_and_exits(last_action: str, output: str) -> None:
    code = f"""
import sys; sys.path.insert(0, {CODE_FOLDER!r})
from arena.processes import end_with_parent
end_with_parent({last_action}, seconds=0.05)
while True: pass
"""
    child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.communicate(timeout=30)[0] == output
    assert child.returncode == 1
