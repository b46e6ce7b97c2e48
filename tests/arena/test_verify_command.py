"""The command `arena verify`: lines, JSON, exit status."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import psutil
import pytest
from click.testing import CliRunner, Result

from arena.cli import main
from arena.cli.text import printable, report_lines
from arena.verification.report import Report
from tests.support.attack_models import VOCABULARY, attack_model, attack_recipe
from tests.support.bundles import RECIPE, Poet
from trainer.verse import strictjson
from trainer.verse.bundle import pack
from trainer.verse.config import ModelConfig
from trainer.verse.generate import Written, regenerate
from trainer.verse.model import VerseModel, round_weights
from trainer.verse.recipe import Recipe
from trainer.verse.vocabulary import Vocabulary

pytestmark = pytest.mark.slow  # each starts processes

ARENA = [sys.executable, "-c", "from arena.cli import main; main()"]


def verify(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["verify", *map(str, arguments)])


@pytest.mark.parametrize(
    ("names", "status"),
    [
        (["pass"], 0),
        (["pass", "pass"], 0),
        (["fail"], 1),
        (["malformed"], 1),
        (["empty"], 1),
        (["undecided"], 2),
        (["missing"], 2),
        (["folder"], 2),
        (["pass", "undecided"], 2),
        (["pass", "fail"], 1),
        (["undecided", "missing", "folder", "fail"], 1),
        (["malformed", "missing"], 1),
    ],
)
def test_the_exit_status_tells_pass_fail_and_neither(
    kinds: Callable[[str], Path], names: list[str], status: int
) -> None:
    paths = {name: kinds(name) for name in names}
    result = verify(*[paths[name] for name in names])
    assert result.exit_code == status, result.output


@pytest.mark.parametrize("arguments", [[], ["--jobs", "0", "x"], ["--jobs", "two", "x"], ["--nonsense", "x"]])
def test_wrong_usage_is_status_2(arguments: list[str]) -> None:
    assert verify(*arguments).exit_code == 2


def test_a_pass_is_one_line_with_tokens_and_gap(kinds: Callable[[str], Path]) -> None:
    path = kinds("pass")
    result = verify(path)
    assert result.output.count("\n") == 1
    assert result.output.startswith(f"PASS       {path}  40 tokens, smallest gap ")


def test_a_fail_shows_where_it_differs_what_was_expected_and_what_came(
    kinds: Callable[[str], Path], other_seed: tuple[Written, Written]
) -> None:
    mine, other = other_seed
    at = next(i for i in range(40) if mine.ids[i] != other.ids[i])
    symbol = "\n abcdefghijklmnopqrstuvwxyz"
    before = "".join(symbol[i] for i in mine.ids[:at])
    lines = verify(kinds("fail")).output.splitlines()
    assert lines[0].startswith("FAIL       ")
    assert lines[1].strip() == (
        f"at token {at} of 40, after {before!r}, expected {symbol[other.ids[at]]!r}, got {symbol[mine.ids[at]]!r}"
    )


def test_a_certificate_that_disagrees_is_a_remark(tmp_path: Path, poet: Poet) -> None:
    written = poet.write()
    path = tmp_path / "a"
    path.write_bytes(poet.pack(replace(written, gaps=written.gaps + 1)))
    result = verify(path)
    assert result.exit_code == 0
    assert "remark: the file's certificate says smallest gap 1." in result.output


def test_json_is_one_list_with_every_field_in_the_order_given(kinds: Callable[[str], Path]) -> None:
    names = ["fail", "missing", "pass", "malformed", "undecided"]
    paths = [kinds(name) for name in names]
    result = verify("--json", *paths)
    reports = json.loads(result.output)
    assert result.exit_code == 1
    assert [report["file"] for report in reports] == list(map(str, paths))
    assert [report["verdict"] for report in reports] == ["FAIL", "ERROR", "PASS", "MALFORMED", "UNDECIDED"]
    keys = {field.name for field in fields(Report)}
    assert all(set(report) == keys for report in reports)
    assert reports[2]["recipe"] == RECIPE.to_dict()
    assert reports[2]["certificate"]["tokens"] == 40
    assert reports[0]["expected"].keys() == {"id", "text"}


@pytest.mark.skipif(os.name != "posix", reason="Windows allows no such name")
def test_a_name_cannot_steer_the_terminal(tmp_path: Path, poet: Poet) -> None:
    name = "\x1b[2J\x1b]0;owned\x07 PASS\r\n\u202egpj.\udcff"
    path = tmp_path / name
    path.write_bytes(poet.pack())
    for arguments in ([path], ["--json", path]):
        completed = subprocess.run([*ARENA, "verify", *arguments], capture_output=True, check=True)
        lines = completed.stdout.decode()
        assert all(character.isprintable() or character == "\n" for character in lines)
    assert "\\x1b[2J\\x1b]0;owned\\x07 PASS\\r\\n\\u202egpj.\\udcff" in verify(path).output


def test_a_verse_cannot_steer_the_terminal() -> None:
    hostile = {"id": 3, "text": "\x1b[31m\u202e\n"}
    report = Report("FAIL", "a", "differs", "\x1b[1m", 3, hostile, hostile | {"id": 4}, "b\x9b7\n", 9)
    for line in report_lines(report):
        assert line.isprintable()


def test_long_untrusted_text_is_cut() -> None:
    assert len(printable("\x00" * 10_000)) == 300


def test_a_terminal_without_the_verses_letters_gets_escapes(kinds: Callable[[str], Path]) -> None:
    path = kinds("missing").with_name("Ωμέγα")
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    completed = subprocess.run([*ARENA, "verify", path], capture_output=True, env=environment)
    assert (completed.returncode, completed.stderr) == (2, b"")
    assert b"\\u03a9" in completed.stdout


def test_a_closed_output_is_not_reported_as_a_failed_verse(kinds: Callable[[str], Path]) -> None:
    read, write = os.pipe()
    os.close(read)
    completed = subprocess.run([*ARENA, "verify", kinds("missing")], stdout=write, stderr=subprocess.PIPE)
    os.close(write)
    assert (completed.returncode, completed.stderr) == (2, b"")


@pytest.mark.skipif(sys.platform != "linux", reason="/dev/full")
def test_an_output_that_cannot_be_written_is_no_failed_verse(kinds: Callable[[str], Path]) -> None:
    with Path("/dev/full").open("w") as full:
        completed = subprocess.run([*ARENA, "verify", kinds("pass")], stdout=full, stderr=subprocess.PIPE)
    assert completed.returncode == 2


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_ctrl_c_ends_the_children_and_exits_130(tmp_path: Path) -> None:
    path = tmp_path / "slow"
    path.write_bytes(slow_bundle())
    process = subprocess.Popen([*ARENA, "verify", path, path, path], stderr=subprocess.PIPE, start_new_session=True)
    assert process.stderr
    parent = psutil.Process(process.pid)
    while not (children := parent.children()):
        assert process.poll() is None
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the whole group
    assert process.wait(timeout=30) == 130
    assert b"interrupted" in process.stderr.read()
    process.stderr.close()
    for child in children:
        child.wait(timeout=30)


def slow_bundle() -> bytes:
    """A verse that takes seconds to check: untrained, so every token ties with every other, and long."""
    vocabulary = Vocabulary.chars("".join(map(chr, range(0x4E00, 0x4E00 + 20_000))))
    config = ModelConfig("modern", n_layer=8, n_head=8, n_embd=256, block_size=1024, vocab_size=vocabulary.size)
    weights = round_weights(config, {name: np.zeros(shape) for name, shape in config.tensor_shapes().items()})
    recipe = Recipe(prompt_ids=(0,), temperature=0, top_k=100, seed=0, tokens=1024, lines=0)
    return pack(config, vocabulary, weights, Written(recipe, (0,) * 1024, np.zeros(1024)), {})


def test_precise_decides_by_proof_what_float64_leaves_open(tmp_path: Path, kinds: Callable[[str], Path]) -> None:
    pytest.importorskip("flint", reason="python-flint is not installed")
    for seed in range(2):
        config, weights = attack_model("twin_rows", seed)
        [written] = regenerate(VerseModel(config, weights), VOCABULARY, [attack_recipe(seed)])
        path = tmp_path / f"{seed}.verse"
        path.write_bytes(pack(config, VOCABULARY, weights, written, {}))
        result = verify(path)
        assert (result.exit_code, "magnifies rounding errors" in result.output) == (2, True)
        result = verify("--precise", "--json", path)
        [report] = strictjson.parse(result.output.encode())
        assert report["precise_bits"] >= 128
        assert report["bound"] is None, "nothing is decided in float64"
        assert (report["verdict"], result.exit_code) in (("PASS", 0), ("FAIL", 1))
        assert ("proved with" in verify("--precise", path).output) == (report["verdict"] == "PASS")
    assert verify("--precise", kinds("pass")).exit_code == 0, "float64 was enough"
    assert verify("--precise", kinds("undecided")).exit_code == 2, "an exact tie has no proof"


def test_precise_without_its_library_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, kinds: Callable[[str], Path]
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    result = verify("--precise", kinds("pass"))
    assert (result.exit_code, result.output.strip()) == (
        2,
        "--precise needs python-flint: pip install '.[precise]' in a clone of this repository",
    )
