"""Over a table of ways to compute, in which every two meet: the same verses, and the same verdicts."""

from __future__ import annotations

import itertools
import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.support.pairwise import Cell, factors, pairwise, written_in
from tests.support.verse_agreement import Checkpoint, differences, openblas, usable_kernels

CAMPAIGN = 10_000  # verses, each in the way of the first row of the table and of two others in turn
OTHERS = 2  # rows
SHARE = 200  # verses between two notes of what is done
NUMPYS = [folder for folder in os.environ.get("OTHER_NUMPYS", "").split(os.pathsep) if folder]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(openblas() is None, reason="numpy brings another BLAS, which has no other kernels"),
]


def compare(cells: list[Cell], folder: Path, first: int, count: int) -> dict[str, Any]:
    """Write so many verses in every way, compare them with those of the first, and count what was found."""
    whole = [written_in(cell, folder, first, count) for cell in cells]
    for cell, there in zip(cells, whole, strict=True):
        assert differences(whole[0]["verses"], there["verses"]) == [], cell
    passed = [{there["verdicts"][verse] for there in whole} for verse in range(count)]
    assert all("FAIL" not in verdicts for verdicts in passed)
    return {
        "verses": count,
        "pass": sum(verdicts == {"PASS"} for verdicts in passed),
        "numpy": sorted({there["numpy"] for there in whole}),
    }


def test_every_two_values_of_two_factors_meet_in_a_row_of_the_table() -> None:
    table = factors(["/old"])
    rows = pairwise(table)
    for a, b in itertools.combinations(table, 2):
        assert {(row[a], row[b]) for row in rows} == set(itertools.product(table[a], table[b]))
    assert len(rows) <= len(table["kernel"]) * len(table["product"]) + 4, "far fewer than all combinations"


def test_some_ways_of_computing_write_and_judge_the_same_verses(trained: Checkpoint, tmp_path: Path) -> None:
    trained.save(tmp_path)
    rows = pairwise(factors([]))
    chosen = [
        next(row for row in rows if row["product"] == product) for product in ("blas", "no blas", "torch float64")
    ]
    assert len({row["kernel"] for row in chosen} | {rows[-1]["kernel"]}) > 1 or len(usable_kernels()) == 1
    assert compare([*chosen, rows[-1]], tmp_path, 0, 6)["pass"] == 6


@pytest.mark.campaign
def test_ten_thousand_verses_are_the_same_in_the_rows_of_the_table(trained: Checkpoint) -> None:
    """The checkpoint of the first call is kept with what is done: campaign/pairwise. OTHER_NUMPYS adds folders."""
    folder = Path(__file__).parents[2] / "campaign" / "pairwise"
    notes = folder / "done.json"
    if not notes.exists():
        folder.mkdir(parents=True, exist_ok=True)
        trained.save(folder)
        notes.write_text(json.dumps({"verses": 0, "pass": 0}), "utf-8")
    progress = json.loads(notes.read_text("utf-8"))
    first, *others = pairwise(factors(NUMPYS))
    groups = [[first, *others[at : at + OTHERS]] for at in range(0, len(others), OTHERS)]
    while progress["verses"] < CAMPAIGN:
        cells = groups[progress["verses"] // SHARE % len(groups)]
        found = compare(cells, folder, progress["verses"], min(SHARE, CAMPAIGN - progress["verses"]))
        progress |= {"verses": progress["verses"] + found["verses"], "pass": progress["pass"] + found["pass"]}
        progress["numpy"] = sorted({*progress.get("numpy", []), *found["numpy"]})
        rows = progress.setdefault("rows", {})
        for cell in cells:
            row = " ".join(f"{name} {Path(value).name or 'installed'};" for name, value in cell.items()).rstrip(";")
            rows[row] = rows.get(row, 0) + found["verses"]
        notes.write_text(json.dumps(progress, indent=1), "utf-8")
