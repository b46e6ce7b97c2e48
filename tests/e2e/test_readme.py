"""README.md names only what there is: commands, options, files and pictures."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from arena.cli import main as arena
from trainer.cli import cli as trainer

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PROGRAMS: dict[str, click.Command] = {"trainer": trainer, "arena": arena}
BLOCKS = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
LINES = [line for block in BLOCKS for line in block.splitlines() if line.split(" ")[0] in PROGRAMS]


def test_the_readme_shows_commands() -> None:
    assert len(LINES) > 10


@pytest.mark.parametrize("line", LINES)
def test_a_command_of_the_readme_exists_with_its_options(line: str) -> None:
    program, *words = shlex.split(line)
    command = PROGRAMS[program]
    while isinstance(command, click.Group) and words:
        found = command.get_command(click.Context(command), words.pop(0))
        assert found is not None
        command = found
    known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    assert {word for word in words if word.startswith("--")} <= known


def test_every_folder_and_file_of_the_readme_exists() -> None:
    tree = README.split("## Files and folders")[1].split("```")[1]
    named = [line.split()[0] for line in tree.strip().splitlines()]
    linked = re.findall(r"\]\(([^)#]+)\)", README) + re.findall(r'src="([^"]+)"', README)
    for name in (*named, *(link for link in linked if "://" not in link)):
        assert (ROOT / name).exists(), name


def test_every_make_target_of_the_readme_exists() -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert set(re.findall(r"`make ([\w-]+)`", README)) <= targets
