"""The files for containers, as far as they can be checked without an engine: tests build no image, and run none."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from arena.cli import main

ROOT = Path(__file__).resolve().parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
VARIABLES = {"ARENA_PUBLIC_URL": "https://verses.example.org", "ARENA_NAME": "Poets"}


def instructions() -> Iterator[tuple[str, str]]:
    """The instructions of the Dockerfile, each with its arguments on one line."""
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text("utf-8"), flags=re.MULTILINE)
    for line in filter(None, text.replace("\\\n", " ").splitlines()):
        name, _, arguments = line.partition(" ")
        yield name, " ".join(arguments.split())


def of(name: str) -> list[str]:
    return [arguments for found, arguments in instructions() if found == name]


def copied() -> list[str]:
    """What is copied from the repository."""
    return [path for line in of("COPY") if not line.startswith("--from") for path in line.split()[:-1]]


def parse(words: list[str]) -> dict[str, Any]:
    """Parse a command line as `arena` does, without running it; the values of its options."""
    command: click.Command
    command, names, rest = main, ["arena"], list(words)
    while isinstance(command, click.Group):
        names.append(rest.pop(0))
        command = command.commands[names[-1]]
    return {"command": " ".join(names), **command.make_context(names[-1], rest).params}


def filled(text: str) -> str:
    """A text of compose.yaml with its variables, as the engine and then the shell put them in."""
    return re.sub(r"\$?\$\{?(\w+)(:[?-][^}]*)?\}?", lambda found: VARIABLES[found[1]], text)


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="asks git what is committed")
def test_every_source_of_the_image_is_committed_and_reaches_the_engine() -> None:
    files = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    ignored = [line for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines() if line and line[0] != "#"]
    assert ignored[0] == "*" and {line[1:] for line in ignored if line[0] == "!"} == {
        path.removeprefix("./") for path in copied()
    }
    for path in copied():
        assert any(name == path or name.startswith(f"{path}/") for name in files), path
    assert not [path for path in copied() if fnmatch(path, "*submissions*") or path in (".", "./")]


@pytest.mark.slow
def test_what_the_image_copies_is_enough_to_build_the_wheel(tmp_path: Path) -> None:
    for path in copied():
        source = ROOT / path
        if source.is_dir():
            shutil.copytree(source, tmp_path / "source" / path, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            (tmp_path / "source").mkdir(exist_ok=True)
            shutil.copy(source, tmp_path / "source" / path)
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", tmp_path, tmp_path / "source"]
    completed = subprocess.run(build, capture_output=True, text=True)
    assert completed.returncode == 0, completed.stdout + completed.stderr
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [one for one in archive.namelist() if one.endswith("METADATA")]
        assert "Provides-Extra: cluster" in archive.read(name).decode()


def test_the_image_serves_as_a_user_without_rights() -> None:
    assert of("USER")[-1] == "10001"
    assert json.loads(of("ENTRYPOINT")[-1]) == ["arena"]
    assert parse(json.loads(of("CMD")[-1]))["console_host"] == "0.0.0.0"
    python = of("FROM")[-1].partition(":")[2]
    assert re.match(r"3\.(1[1-9])-slim", python) and of("FROM")[0].split(" AS ")[0] == of("FROM")[-1]
    check = json.loads(of("HEALTHCHECK")[0].partition(" CMD ")[2])
    compile(check[2], "healthcheck", "exec")
    assert check[:2] == ["python", "-c"] and "8000/readyz" in check[2]


def test_the_commands_of_the_services_are_commands_of_arena() -> None:
    serve = parse([filled(word) for word in SERVICES["arena"]["command"]])
    assert serve["command"] == "arena serve" and serve["public_url"] == VARIABLES["ARENA_PUBLIC_URL"]
    assert parse(SERVICES["checks"]["command"])["command"] == "arena worker"
    assert parse(SERVICES["checks"]["healthcheck"]["test"][2:])["command"] == "arena event show"
    for name in ("make", "join"):
        (script,) = SERVICES[name]["command"]
        test, _, line = script.partition(" || exec arena ")
        assert test == "test -f /event/settings.json" and SERVICES[name]["entrypoint"] == ["sh", "-c"]
        values = parse(shlex.split(filled(line)) if name == "make" else [*shlex.split(line)[:2], "--join", __file__])
        assert values["command"] == "arena init" and values["positional"] == Path("/event")


@pytest.mark.parametrize("name", SERVICES)
def test_no_service_is_root_or_writes_to_its_image_and_each_says_whether_it_works(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True and "/tmp" in service["tmpfs"]
    assert service["cap_drop"] == ["ALL"] and service["security_opt"] == ["no-new-privileges:true"]
    assert service.get("user", "10001") not in ("root", "0") and "privileged" not in service
    assert service["networks"] == ["event"]
    runs_once = service["restart"] == "no"
    assert service.get("healthcheck") == {"disable": True} if runs_once else True
    for port in service.get("ports", []):
        assert port.startswith("127.0.0.1:"), "the proxy of this machine is the way in"
    mounted = {volume.split(":")[0] for volume in service["volumes"]}
    assert mounted <= set(COMPOSE["volumes"])
    for other, condition in service.get("depends_on", {}).items():
        wanted = "service_completed_successfully" if SERVICES[other]["restart"] == "no" else "service_healthy"
        assert condition == {"condition": wanted}


def test_no_password_is_written_down() -> None:
    text = (ROOT / "compose.yaml").read_text("utf-8")
    for name in ("POSTGRES_PASSWORD", "PGPASSWORD"):
        assert re.findall(rf"^ +{name}: (.*)$", text, re.MULTILINE)
        assert all(value.startswith("${ARENA_DATABASE_PASSWORD:?") for value in re.findall(rf"{name}: (.*)", text))
