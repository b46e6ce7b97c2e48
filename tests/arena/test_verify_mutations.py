"""Bundles damaged at random: whatever was done to the bytes, a verdict is reached, and PASS is the same verse."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from arena.services.checking import Report, check_bundle
from tests.arena.bundles import RECIPE, Poet, random_weights
from trainer.verse.files import write_atomically

SHORT = 300  # mutations tried by `make test`
LONG = 300_000  # and by `make campaign`
DONE = Path("campaign/mutations")  # how many of them were tried
PIECES = (b"0", b"-1", b"1e999", b"1.0", b"null", b'""', b"[]", b"{}", b"true", b"NaN", b"\xff", b"\\\\u0000", b'"')


@pytest.fixture(scope="module")
def honest() -> bytes:
    poet = Poet(random_weights(1))
    return poet.pack(poet.write(replace(RECIPE, tokens=12)))


@pytest.fixture
def truth(honest: bytes, tmp_path: Path) -> Report:
    return check(honest, tmp_path)


def check(bundle: bytes, folder: Path) -> Report:
    path = folder / "bundle"
    path.write_bytes(bundle)
    return check_bundle(path)


def damaged(bundle: bytes, number: int) -> bytes:
    """Mutation `number`: one to three changes, nine of ten in the header, whose length then mostly fits again."""
    chance = random.Random(number)
    data = bytearray(bundle)
    header = 8 + int.from_bytes(data[:8], "little")
    for _ in range(chance.choice((1, 1, 2, 3))):
        at = chance.randrange(8, header - 100 if chance.random() < 0.9 else len(bundle) - 100)
        change = chance.choice(("bit", "byte", "digit", "cut", "insert", "repeat"))
        if change == "bit":
            data[at] ^= 1 << chance.randrange(8)
        elif change == "byte":
            data[at] = chance.randrange(256)
        elif change == "digit":
            at = next((i for i in range(at, header - 100) if data[i : i + 1].isdigit()), at)
            data[at] = chance.choice(b"0123456789")
        elif change == "cut":
            del data[at : at + chance.randrange(1, 9)]
        elif change == "insert":
            data[at:at] = chance.choice(PIECES)
        else:
            data[at:at] = data[at : at + chance.randrange(1, 40)]
    if chance.random() < 0.8:
        data[:8] = (header - 8 + len(data) - len(bundle)).to_bytes(8, "little")
    return bytes(data)


def try_mutation(number: int, honest: bytes, truth: Report, folder: Path) -> str:
    report = check(damaged(honest, number), folder)
    assert report.verdict != "ERROR", f"mutation {number}: {report.reason}"
    if report.verdict == "PASS":  # provenance or the certificate changed, say, or the bundle is one of another verse
        assert report.tensors_sha256 == truth.tensors_sha256, f"mutation {number}"
        if report.recipe == truth.recipe:
            assert (report.text, report.certificate) == (truth.text, truth.certificate), f"mutation {number}"
    return report.verdict


def test_a_damaged_bundle_never_passes_as_another_verse_and_never_breaks_the_check(
    honest: bytes, truth: Report, tmp_path: Path
) -> None:
    verdicts = Counter(try_mutation(number, honest, truth, tmp_path) for number in range(SHORT))
    assert verdicts["MALFORMED"] > SHORT / 2
    assert verdicts["FAIL"] > 0  # some damage is deep enough to need a replay


@pytest.mark.campaign
def test_hundreds_of_thousands_of_damaged_bundles(honest: bytes, truth: Report, tmp_path: Path) -> None:
    DONE.parent.mkdir(exist_ok=True)
    start = int(DONE.read_text()) if DONE.exists() else 0
    for number in range(start, LONG):
        try_mutation(number, honest, truth, tmp_path)
        if number % 1000 == 999:
            write_atomically(DONE, str(number + 1).encode())
