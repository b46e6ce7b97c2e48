"""What verification says of honest, forged and broken bundles, each checked in a real child process."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import trainer.verse
from arena.services.verification import reason_of_report
from arena.verification.check import check_bundle
from arena.verification.report import AMPLIFIED, Report
from arena.verification.runner import Cancelled, check_in_child, claim_limits, report_of, verify_file, verify_files
from arena.verification.sandbox import Ending, Limits
from tests.support.bundle_parts import edit_claim
from tests.support.bundles import CONFIG, RECIPE, VOCABULARY, Poet, torn_poet
from trainer.verse.bundle_file import read_claim
from trainer.verse.config import ModelConfig
from trainer.verse.generate import Written

MIB = 2**20


def verify(path: Path, bundle: bytes) -> Report:
    path.write_bytes(bundle)
    return verify_file(path, threading.Event())


def test_an_honest_verse_passes_and_its_facts_are_recomputed(tmp_path: Path, poet: Poet) -> None:
    written = poet.write()
    report = verify(tmp_path / "a", poet.pack(written))
    assert report.verdict == "PASS"
    assert report.certificate is not None
    assert report.certificate["smallest_gap"] == pytest.approx(written.certificate.smallest_gap, abs=1e-9)
    assert report.certificate_agrees is True
    assert report.tokens == len(written.ids) == 40
    assert report.text == VOCABULARY.decode(written.ids)
    assert report.recipe == RECIPE.to_dict()
    assert (report.position, report.expected, report.got, report.reason) == (None, None, None, None)


def test_a_changed_seed_fails_at_the_first_token_that_differs(
    tmp_path: Path, poet: Poet, other_seed: tuple[Written, Written]
) -> None:
    mine, other = other_seed
    report = verify(tmp_path / "a", poet.pack(replace(mine, recipe=other.recipe)))
    parting = next(i for i in range(40) if mine.ids[i] != other.ids[i])
    assert (report.verdict, report.code, report.position) == ("FAIL", "differs", parting)
    assert report.expected == {"id": other.ids[parting], "text": VOCABULARY.symbols[other.ids[parting]]}
    assert report.got == {"id": mine.ids[parting], "text": VOCABULARY.symbols[mine.ids[parting]]}
    assert report.before == VOCABULARY.decode(mine.ids[:parting])


def test_one_changed_token_fails_at_its_position(tmp_path: Path, poet: Poet) -> None:
    written = poet.write()
    forged = (*written.ids[:20], (written.ids[20] + 1) % VOCABULARY.size, *written.ids[21:])
    report = verify(tmp_path / "a", poet.pack(replace(written, ids=forged)))
    assert (report.verdict, report.position) == ("FAIL", 20)
    assert report.expected is not None and report.expected["id"] == written.ids[20]


def test_other_weights_with_their_own_digest_fail(tmp_path: Path, poet: Poet) -> None:
    report = verify(tmp_path / "a", Poet.random(2).pack(poet.write()))
    assert report.verdict == "FAIL"


def test_a_tie_is_undecided_and_says_where(tmp_path: Path, poet: Poet) -> None:
    torn = torn_poet(poet)
    report = verify(tmp_path / "a", torn.pack(torn.write(replace(RECIPE, temperature=0))))
    assert (report.verdict, report.code, report.position) == ("UNDECIDED", "too-close", 0)
    assert report.certificate is not None and report.certificate["smallest_gap"] < 1e-6


def test_a_lying_certificate_is_remarked_and_never_the_verdict(tmp_path: Path, poet: Poet) -> None:
    written = poet.write()
    report = verify(tmp_path / "a", poet.pack(replace(written, gaps=written.gaps + 1e-8)))
    assert (report.verdict, report.certificate_agrees) == ("PASS", False)
    report = verify(tmp_path / "b", poet.pack(replace(written, gaps=written.gaps + 1e-10)))
    assert (report.verdict, report.certificate_agrees) == ("PASS", True)


def test_a_changed_text_is_malformed(tmp_path: Path, poet: Poet) -> None:
    def edit(claim: dict[str, object]) -> None:
        verse = claim["verse"]
        assert isinstance(verse, dict)
        verse["text"] = verse["text"][::-1]

    report = verify(tmp_path / "a", edit_claim(poet.pack(), edit))
    assert (report.verdict, report.code) == ("MALFORMED", "text")


def test_a_changed_weight_without_its_digest_is_malformed(tmp_path: Path, poet: Poet) -> None:
    bundle = bytearray(poet.pack())
    bundle[-2] ^= 1
    report = verify(tmp_path / "a", bytes(bundle))
    assert (report.verdict, report.code) == ("MALFORMED", "digest")


@pytest.mark.parametrize(
    ("kind", "verdict", "code"),
    [
        ("malformed", "MALFORMED", "header-length"),
        ("empty", "MALFORMED", "empty"),
        ("folder", "ERROR", "folder"),
        ("missing", "ERROR", "missing"),
    ],
)
def test_a_file_that_is_no_bundle_is_malformed_or_an_error(
    kinds: Callable[[str], Path], kind: str, verdict: str, code: str
) -> None:
    report = verify_file(kinds(kind), threading.Event())
    assert (report.verdict, report.code) == (verdict, code)


def test_a_broken_link_and_a_circle_of_links_are_unreadable(tmp_path: Path) -> None:
    path = tmp_path / "ouroboros"
    try:
        path.symlink_to(path)
    except OSError:
        pytest.skip("no symbolic links here")
    report = verify_file(path, threading.Event())
    assert (report.verdict, report.code) == ("ERROR", "unreadable")


@pytest.mark.parametrize(
    ("limits", "code"), [(Limits(memory=1 * MIB, seconds=60.0), "memory"), (Limits(memory=2**30, seconds=0.0), "time")]
)
def test_a_limit_of_our_own_is_an_error_and_never_a_fail(
    kinds: Callable[[str], Path], limits: Limits, code: str
) -> None:
    path = kinds("fail")
    with path.open("rb") as file:
        report = check_in_child(file, path.stat().st_size, limits, threading.Event())
    assert (report.verdict, report.code) == ("ERROR", code)


@pytest.mark.parametrize("output", [b"", b"Segmentation fault", b"[]", b'{"verdict": "PASS"}', b"\xff", b'"PASS"'])
def test_a_child_that_prints_no_report_is_an_error(output: bytes) -> None:
    report = report_of(Ending("exited", 0, output), Limits(MIB, 1.0))
    assert (report.verdict, report.code) == ("ERROR", "crash")


@pytest.mark.parametrize("status", [1, -9, -11, -64, 3221225477])
def test_a_child_that_dies_is_an_error_whatever_it_printed(status: int) -> None:
    report = report_of(Ending("exited", status, b"FAIL"), Limits(MIB, 1.0))
    assert (report.verdict, report.code) == ("ERROR", "crash")


def test_a_cancelled_check_has_no_verdict(kinds: Callable[[str], Path]) -> None:
    cancelled = threading.Event()
    cancelled.set()
    with pytest.raises(Cancelled):
        verify_file(kinds("pass"), cancelled)


def test_limits_grow_with_the_model_and_have_a_floor(tmp_path: Path, poet: Poet) -> None:
    path = tmp_path / "a"
    path.write_bytes(poet.pack())
    claim = read_claim(path)
    small = claim_limits(claim)
    large = claim_limits(replace(claim, config=ModelConfig("gpt2", 12, 12, 768, 512, CONFIG.vocab_size)))
    assert small.memory >= 256 * MIB and small.seconds >= 60
    assert large.memory > 10 * 85_000_000  # 85 M weights, in float16 and float64 at once
    assert large.memory < 4 * 2**30  # two at once fit a laptop
    assert large.seconds > small.seconds


def test_many_files_are_reported_in_the_order_given(kinds: Callable[[str], Path]) -> None:
    names = ["pass", "missing", "malformed", "fail", "pass", "undecided", "folder", "pass"]
    paths = {name: kinds(name) for name in set(names)}
    reports = list(verify_files([paths[name] for name in names], jobs=3))
    expected = {"missing": "ERROR", "folder": "ERROR"}
    assert [report.verdict for report in reports] == [expected.get(name, name.upper()) for name in names]
    assert [report.file for report in reports] == [str(paths[name]) for name in names]


def test_who_enters_a_model_that_magnifies_rounding_reads_that_another_seed_does_not_help() -> None:
    path = Path(trainer.verse.__file__).parent / "attacks" / "undecided-rounding-chooses.verse"
    report = check_bundle(path.read_bytes())
    assert (report.verdict, report.code, report.bound) == ("UNDECIDED", "too-close", None)
    assert reason_of_report(report) == f"{AMPLIFIED}: enter a verse of another model"
