"""Any text, prompt and name: through every step and back unchanged, or refused in one clear sentence."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, seed, settings

import trainer.train
from tests.support.any_text import CASES, Journeys

FEW = 25
CAMPAIGN = 10_000
SHARE = 250  # cases between two notes of what is done

pytestmark = [pytest.mark.slow, pytest.mark.skipif("os.name != 'posix'", reason="tried on POSIX systems only")]


def journeys(folder: Path, number: int, count: int) -> dict[str, int]:
    """Carry so many texts; the number chooses which. Returns how many ended where."""
    made = Journeys(folder)

    @seed(number)
    @settings(max_examples=count, database=None, suppress_health_check=list(HealthCheck))
    @given(CASES)
    def carry(case: object) -> None:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            made.travel(case)  # type: ignore[arg-type]
        shutil.rmtree(folder / f"run{made.count}", ignore_errors=True)

    carry()
    made.evening.end()
    return made.outcomes


@pytest.fixture(autouse=True)
def without_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loss curve knows nothing of the text, and takes most of the time of such a short run."""
    nothing: Callable[[object], None] = lambda run: None  # noqa: E731
    monkeypatch.setattr(trainer.train, "plot_run", nothing)


def test_any_text_becomes_a_verified_verse_on_the_pages_or_is_refused_in_one_sentence(tmp_path: Path) -> None:
    outcomes = journeys(tmp_path, 1, FEW)
    assert sum(outcomes.values()) >= FEW
    assert any(outcome.startswith("verified") for outcome in outcomes), outcomes


@pytest.mark.campaign
def test_ten_thousand_texts_become_verified_verses_or_are_refused_in_one_sentence(tmp_path: Path) -> None:
    """Goes on where the last call was stopped; how many ended where is in campaign/texts.json."""
    path = Path(__file__).parents[2] / "campaign" / "texts.json"
    path.parent.mkdir(exist_ok=True)
    done: dict[str, dict[str, int]] = json.loads(path.read_text("utf-8")) if path.exists() else {}
    for number in range(CAMPAIGN // SHARE):
        if str(number) not in done:
            folder = tmp_path / str(number)
            folder.mkdir()
            done[str(number)] = journeys(folder, number, SHARE)
            path.write_text(json.dumps(done, indent=1), "utf-8")
            shutil.rmtree(folder)
