"""The checks of an entry, on honest runs and planted cheats."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import honest_and_planted as runs
from trainer.checks.limits import LIMITS


@pytest.mark.campaign
def test_no_more_honest_runs_are_noticed_than_the_limits_say_and_every_cheat_is() -> None:
    """Goes on where the last call was stopped; bundles and the table are in campaign/checks."""
    folder = Path(__file__).parents[2] / "campaign" / "checks"
    folder.mkdir(parents=True, exist_ok=True)
    honest = [
        runs.kept(folder, f"honest-{n:02}", runs.owner_of(n), lambda n=n: runs.honest(n, folder))
        for n in range(runs.HONEST)
    ] + [
        runs.kept(folder, f"further-{n}", runs.owner_of(runs.HONEST + n), lambda n=n: runs.further(n, folder))
        for n in range(len(runs.FURTHER))
    ]
    victim = runs.kept(folder, "neighbour", runs.owner_of(500), lambda: runs.neighbour(folder)[0])
    cheats = {
        name: runs.kept(folder, name, runs.CHEAT, lambda make=make: make(folder))
        for name, (make, _) in runs.CHEATS.items()
    }
    cheats["renamed"] = runs.kept(folder, "renamed", runs.CHEAT, lambda: runs.renamed(victim))
    cheats["one-letter-changed"] = runs.kept(folder, "one-letter-changed", runs.CHEAT, lambda: runs.one_letter(victim))
    everybody = [*honest, victim]
    texts = runs.known_texts()
    honest_findings = [
        [
            *(f for f in runs.measure(entry, everybody, texts) if f.check != "origin"),
            runs.measure_origin(entry, everybody),
        ]
        for entry in everybody
    ]
    cheat_findings = {name: runs.measure(entry, everybody, texts) for name, entry in cheats.items()}
    (folder / "table.md").write_text(runs.table(honest_findings, cheat_findings))
    for check, limit in LIMITS.items():
        alarms = [e.name for e, f in zip(everybody, honest_findings, strict=True) if check in runs.noticed(f)]
        assert len(alarms) <= limit.alarms, (check, alarms)
    for name, (_, expected) in runs.CHEATS.items():
        assert expected <= runs.noticed(cheat_findings[name]), name
    assert "verse" in runs.noticed(cheat_findings["one-letter-changed"])
    assert "start" in runs.noticed(cheat_findings["renamed"])
