"""What people install: the wheel, in an empty environment, away from the checkout and without torch."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from tests.support.bundles import Poet

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT]
    completed = subprocess.run(build, capture_output=True, text=True)
    assert completed.returncode == 0, completed.stdout + completed.stderr
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the commands of an environment that holds the wheel and what it asks for."""
    folder = tmp_path_factory.mktemp("elsewhere") / "venv"
    venv.create(folder, with_pip=False)
    commands = folder / ("Scripts" if os.name == "nt" else "bin")
    pip = [sys.executable, "-m", "pip", "--python", commands / "python"]
    install = [*pip, "install", "--quiet", "--no-compile", "-c", ROOT / "constraints.txt", wheel]
    completed = subprocess.run(install, capture_output=True, text=True)
    assert completed.returncode == 0, completed.stdout + completed.stderr
    return commands


def run(installed: Path, command: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    line = [installed / command, *map(str, arguments)]
    return subprocess.run(line, cwd=installed, env=environment, capture_output=True, text=True)


def test_the_wheel_carries_the_folio_its_model_and_the_specification_and_no_tests(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert {
        "trainer/data/folio.txt",
        "trainer/data/haiku.txt",
        "trainer/data/names.txt",
        "trainer/data/folio.verse",
        "trainer/verse/SPEC.md",
        "trainer/verse/golden.json",
        "trainer/submission/audition.html",
        "trainer/cli.py",
        "arena/cli/__init__.py",
        "arena/store/migrations/env.py",
        "arena/store/migrations/versions/0001_initial.py",
        "arena/web/openapi.json",
        "arena/web/templates/vote.html",
    } <= names
    assert {name.split("/")[0].split("-")[0] for name in names} == {"trainer", "arena", "verse_arena"}


def test_the_base_install_has_no_torch(installed: Path) -> None:
    assert "ModuleNotFoundError" in run(installed, "python", "-c", "import torch").stderr


@pytest.mark.parametrize("line", [["trainer", "--help"], ["arena", "--help"], ["arena", "--version"]])
def test_the_installed_commands_start(installed: Path, line: list[str]) -> None:
    completed = run(installed, *line)
    assert (completed.returncode, completed.stderr) == (0, "")
    assert completed.stdout


def test_the_folio_is_found_where_it_was_installed(installed: Path) -> None:
    completed = run(installed, "trainer", "corpus", "list")
    assert (completed.returncode, completed.stderr) == (0, "")
    assert "folio" in completed.stdout


def test_the_installed_command_verifies_a_verse(installed: Path, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle"
    bundle.write_bytes(Poet.random(1).pack())
    completed = run(installed, "arena", "verify", bundle)
    assert (completed.returncode, completed.stderr) == (0, "")
    assert completed.stdout.startswith("PASS ")
    bundle.write_bytes(bundle.read_bytes()[:-1])
    completed = run(installed, "arena", "verify", bundle)
    assert (completed.returncode, completed.stdout.split()[0]) == (1, "MALFORMED")


def test_the_installed_command_writes_verse_with_the_model_that_comes_along(installed: Path) -> None:
    code = "import importlib.resources; print(importlib.resources.files('trainer') / 'data' / 'folio.verse')"
    model = run(installed, "python", "-c", code).stdout.strip()
    done = run(installed, "trainer", "generate", "--ckpt", model, "--prompt", "The moon", "--tokens", "20")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("The moon")


def test_the_installed_command_makes_an_event_and_its_database(installed: Path, tmp_path: Path) -> None:
    for line in (["init", tmp_path / "event", "--name", "Evening"], ["event", "show", "--dir", tmp_path / "event"]):
        completed = run(installed, "arena", *line)
        assert (completed.returncode, completed.stderr) == (0, "")
