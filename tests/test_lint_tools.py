"""What `make lint` finds besides style and types: secrets, and pins that do not fit."""

from __future__ import annotations

import string
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.support.dependency_audit import faults, read_pins, read_requirements
from tests.support.secret_scan import ROOT, list_files, read_known, scan

LETTERS = string.ascii_uppercase + string.digits
PLANTED = {  # put together here, so that this file holds none
    "AWS Access Key": f'KEY = "AKIA{LETTERS[3:19]}"',
    "Private Key": f"-----BEGIN {'RSA'} PRIVATE KEY-----",
    "Secret Keyword": f'console_{"password"} = "correct-horse-battery"',
    "Hex High Entropy String": f'key = "{"".join(f"{(7 * n * n + 3 * n) % 251:02x}" for n in range(32))}"',
    "Basic Auth Credentials": "postgresql://arena:" + "sesame-open@dbhost/verses",
}


@pytest.mark.parametrize("kind", PLANTED)
def test_a_key_or_password_that_nobody_explained_is_found(tmp_path: Path, kind: str) -> None:
    (tmp_path / "deploy.py").write_text(f"one = 1\n{PLANTED[kind]}\n")
    found = scan(["deploy.py"], tmp_path)
    assert any(line.startswith(f"deploy.py | {kind} | ") for line in found), found
    assert not found.keys() & read_known()


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="asks git what is committed")
def test_every_line_that_explains_a_find_names_a_file_that_is_looked_at() -> None:
    assert {line.split(" | ")[0] for line in read_known()} <= set(list_files())


def test_a_pin_that_is_missing_too_wide_or_for_nothing_is_named() -> None:
    pins = read_pins("click>=8  # not exact\nFlask==0.1\nnumpy==1.0\nbogus==1.0\n")
    found = "\n".join(faults([Requirement("Flask>=3"), Requirement("tqdm>=4"), Requirement("numpy")], pins))
    for sentence in (
        "click is not pinned to one version",
        "pyproject.toml needs Flask>=3, and constraints.txt pins 0.1",
        "pyproject.toml needs tqdm>=4, which constraints.txt does not pin",
        "flask needs werkzeug>=3.1.0, which constraints.txt does not pin",
        "is installed, and constraints.txt pins 1.0",
        "nothing needs bogus, which constraints.txt pins",
    ):
        assert sentence in found, (sentence, found)


def test_the_requirements_of_every_extra_are_compared() -> None:
    text = '[project]\ndependencies = ["a"]\noptional-dependencies.x = ["b"]\n[build-system]\nrequires = ["c"]\n'
    assert [one.name for one in read_requirements(text)] == ["editables", "a", "c", "b"]
