"""The workshop notebook, executed cell by cell with a short training budget against a real event."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import time
import venv
from importlib.metadata import files, version
from importlib.util import find_spec
from pathlib import Path

import nbformat
import pytest
from click.testing import CliRunner
from nbclient import NotebookClient
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell

from arena.cli import main as arena
from arena.services import queries
from tests.support.evening import Evening

pytestmark = pytest.mark.slow

NOTEBOOK = Path(__file__).resolve().parents[2] / "trainer" / "workshop.ipynb"
A_CELL = 240.0  # seconds that one may take, on a machine with every core busy


def tagged(notebook: NotebookNode, tag: str) -> int:
    """Where the one cell with this tag stands."""
    [place] = [i for i, cell in enumerate(notebook.cells) if tag in cell.metadata.get("tags", [])]
    return place


def said(cell: NotebookNode) -> str:
    """What a cell printed."""
    return "".join(output.get("text", "") for output in cell.get("outputs", []))


@pytest.fixture
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place to work in, and nothing left in the user's folders; one thread for torch."""
    for name in ("XDG_CONFIG_HOME", "IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    work = tmp_path / "work"
    work.mkdir()
    return work


def test_the_notebook_trains_packs_a_verse_that_passes_and_enters_it(served: Evening, own_folders: Path) -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    enter = notebook.cells[tagged(notebook, "submit")].source
    settings = tagged(notebook, "parameters")
    notebook.cells.insert(settings + 1, new_code_cell("MINUTES = 0.3"))
    notebook.cells += [
        new_code_cell(f"EVENT_URL, NAME = {served.url!r}, 'Ada'\n{enter}"),
        new_code_cell("import sys\n\nprint(sys.executable)"),
    ]
    client = NotebookClient(notebook, timeout=A_CELL, resources={"metadata": {"path": str(own_folders)}})
    client.execute()

    *_, entered, python = notebook.cells
    assert said(python).strip() == sys.executable
    printed = "".join(map(said, notebook.cells))
    assert "Error" not in printed, printed
    assert "Best validation loss" in printed
    assert "64 verses by runs/workshop-1" in said(notebook.cells[tagged(notebook, "audition")])
    [bundle] = own_folders.glob("runs/*/*.verse")
    assert CliRunner().invoke(arena, ["verify", str(bundle)]).exit_code == 0
    assert "PASS" in said(entered), said(entered)
    assert queries.console_view(served.db, now=time.time()).counts["verified"] == 1


INSTALLED = Path(sysconfig.get_path("purelib"))


def python_without_the_arena(folder: Path) -> Path:
    """A Python that has everything installed here, torch too, but nothing of Verse Arena."""
    venv.create(folder, with_pip=False, symlinks=True)
    [there] = folder.glob("lib/python*/site-packages")
    ours = {file.parts[0] for file in files("verse-arena") or []}  # linked, they would be written through
    for entry in INSTALLED.iterdir():
        if entry.name not in ours:
            (there / entry.name).symlink_to(entry)
    return folder / "bin" / "python"


def installed_here() -> list[Path]:
    """What the Python of the tests has of Verse Arena."""
    return sorted(path for name in ("trainer", "arena") for path in (INSTALLED / name).rglob("*") if path.is_file())


@pytest.mark.skipif(sys.platform == "win32", reason="symbolic links need a right of their own there")
def test_the_notebook_installs_itself_from_a_clone_beside_the_torch_that_is_there(own_folders: Path) -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    repository = NOTEBOOK.parents[1]
    cells = [
        notebook.cells[tagged(notebook, "parameters")].source,
        f"REPOSITORY = {repository.as_uri()!r}",
        notebook.cells[tagged(notebook, "install")].source,
        "import torch, trainer\nprint(torch.__file__, trainer.__file__)\n!trainer --version",
    ]
    (own_folders / "cells.ipy").write_text("\n".join(cells), "utf-8")
    python, before = python_without_the_arena(own_folders.parent / "venv"), installed_here()
    completed = subprocess.run(
        [python, "-m", "IPython", "cells.ipy"],
        cwd=own_folders,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        | {"PIP_NO_INDEX": "1", "PIP_NO_BUILD_ISOLATION": "0", "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
        capture_output=True,
        text=True,
        timeout=A_CELL,
        check=False,
    )
    said = completed.stdout + completed.stderr
    assert completed.returncode == 0, said
    assert f"Verse Arena {version('verse-arena')}, working in {own_folders}" in said, said
    [torch, trainer] = next(line for line in said.splitlines() if line.endswith("trainer/__init__.py")).split()
    assert Path(trainer).is_relative_to(own_folders.parent / "venv")  # neither this checkout nor the clone
    assert Path(torch).parent.resolve() == Path(find_spec("torch").origin).parent  # not another one
    assert f"trainer, version {version('verse-arena')}" in said
    assert installed_here() == before  # it was really another Python


def test_the_notebook_is_kept_without_what_a_run_of_it_printed() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        assert not cell.get("outputs") and cell.get("execution_count") is None, cell.id
