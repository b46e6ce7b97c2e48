"""`arena retrain`: an entry trained again by the `trainer` command, advice for the organizer beside its checks."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from arena.errors import RetrainingFailed
from arena.services import advice, queries
from arena.verification import retraining
from tests.arena.test_serving_commands import Desk
from tests.support.evening import Evening, secret_of
from tests.support.server import within
from tests.support.training_runs import PLAN, text_file, tiny
from trainer.checkpoint import read_checkpoint
from trainer.checks.limits import judge
from trainer.errors import SubmitError
from trainer.plan import Plan, Revision
from trainer.sampling import make_recipe
from trainer.submission.submit import make_submission
from trainer.train import train
from trainer.verse.identity import owner_id

pytestmark = pytest.mark.slow
LONG = {"plan": Plan((Revision(0, 10_000_000, 1),)).to_dict(), "steps": 10_000_000, "loss_curve": []}


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """An event with open submissions."""
    folder = tmp_path_factory.mktemp("retraining") / "event"
    Evening(folder).create().end()
    desk = Desk(folder)
    desk.does("event", "open")
    yield desk
    desk.evening.end()


@pytest.fixture(scope="module")
def enter(desk: Desk, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """Train for this event in twelve steps, change the record, enter and verify; the entry's id."""
    folder = tmp_path_factory.mktemp("runs")
    nonce = advice.verified_bundles(desk.evening.db, desk.evening.bundles)[1] or ""

    def enter(name: str, train_settings: dict[str, Any] | None = None, **record: Any) -> str:
        config = tiny(folder, nonce=nonce, owner=owner_id(secret_of(name)))
        checkpoint = read_checkpoint(train(config, folder / name, PLAN).best)
        told = {**checkpoint.provenance, **record}
        told["train"] = {**told["train"], **(train_settings or {})}
        vars(checkpoint)["provenance"] = told
        for seed in range(50):
            with suppress(SubmitError):
                submission = make_submission(checkpoint, make_recipe(checkpoint, "", 80, seed, tokens=15))
                if sum(character.isalpha() for character in submission.text) > 4:  # enough ink to be entered
                    break
        entry = desk.evening.enter(name, submission.data)
        assert desk.evening.verify_all() == 1
        [view] = [one for one in queries.list_entries(desk.evening.db) if one.entry == entry]
        assert view.state == "verified", view.reason
        return entry

    return enter


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(text_file(tmp_path_factory.mktemp("text")))


def test_an_honest_entry_agrees_in_every_part_and_the_console_says_so(
    desk: Desk, enter: Callable[..., str], text: str
) -> None:
    entry = enter("Ada")
    said = desk.does("retrain", entry[:8], "--corpus", text)
    assert said.count(" agrees: ") == 7 and "does not agree" not in said and "no entry was disqualified" in said
    assert "Trained again: nothing disagrees" in desk.evening.organizer().get("/console").text


def test_a_record_with_another_seed_is_named_on_the_console_and_nobody_is_refused(
    desk: Desk, enter: Callable[..., str], text: str
) -> None:
    entry = enter("Bob", {"seed": 8, "owner": owner_id(secret_of("Ada"))})
    said = desk.does("retrain", entry[:8], "--corpus", text)
    assert "event     does not agree" in said and "another author" in said
    assert "weights   does not agree" in said and "curve     does not agree" in said
    page = desk.evening.organizer().get("/console").text
    assert "of 7 parts do not agree" in page and "on the same kind of processor" in page
    assert {one.state for one in queries.list_entries(desk.evening.db)} == {"verified"}


def test_checks_and_retraining_of_an_entry_are_kept_beside_each_other_and_only_for_its_bundle(
    desk: Desk, enter: Callable[..., str], text: str
) -> None:
    entry = enter("Cleo")
    everybody, _ = advice.verified_bundles(desk.evening.db, desk.evening.bundles)
    [one] = advice.choose(everybody, [entry])
    desk.does("retrain", entry[:8], "--corpus", text)
    assert advice.record_advice(desk.evening.db, one, [judge("copy", 0.1, "")], now=1.0)
    shown = next(view for view in queries.list_entries(desk.evening.db) if view.entry == entry)
    assert len(shown.retraining or []) == 7 and len(shown.advice or []) == 1
    stale = type(one)(**{**vars(one), "bundle": "0" * 64})
    assert not advice.record_retraining(desk.evening.db, stale, [], now=1.0)


def test_a_plan_of_years_is_asked_about_and_without_a_yes_nothing_is_trained(
    desk: Desk, enter: Callable[..., str], text: str
) -> None:
    entry = enter("Dora", **LONG)
    result = desk.run("retrain", entry[:8], "--corpus", text, answer="n\n")
    assert result.exit_code == 1 and "Train it? [y/N]" in result.output
    shown = next(view for view in queries.list_entries(desk.evening.db) if view.entry == entry)
    assert shown.retraining is None


def test_an_unknown_text_is_a_failure_with_its_reason_and_no_advice(desk: Desk, enter: Callable[..., str]) -> None:
    entry = enter("Emil")
    assert "could not be trained again: its message is above" in desk.refuses("retrain", entry[:8])
    assert "no entry" in desk.refuses("retrain", "ffff")


def test_without_pytorch_one_sentence_says_where_to_train(
    desk: Desk, enter: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = enter("Fay")
    monkeypatch.setitem(sys.modules, "torch", None)
    said = desk.refuses("retrain", entry[:8])
    assert "PyTorch, which is not installed here" in said and "trainer retrain FILE" in said and "Traceback" not in said


def test_a_training_that_uses_more_memory_than_it_may_is_ended(
    desk: Desk, enter: Callable[..., str], text: str
) -> None:
    entry = enter("Gus", **LONG)
    [one] = advice.choose(advice.verified_bundles(desk.evening.db, desk.evening.bundles)[0], [entry])
    with pytest.raises(RetrainingFailed, match=r"more than the 0\.1 GiB"):
        retraining.retrain(Path(one.path), [Path(text)], yes=True, memory=100 * 2**20)


@pytest.mark.skipif(sys.platform == "win32", reason="signals and priorities of POSIX")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_the_training_has_the_lowest_priority_and_ends_with_the_command_however_that_ends(
    desk: Desk, enter: Callable[..., str], text: str, number: signal.Signals
) -> None:
    entry = enter(f"Hal {number}", **LONG)
    code = "from arena.cli import main; main()"
    words = ["retrain", entry[:8], "--corpus", text, "--yes", "--dir", str(desk.folder)]
    with subprocess.Popen(
        [sys.executable, "-c", code, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as command:
        assert command.stderr
        for line in command.stderr:
            if "10,000,000 steps" in line:
                break
        [child] = psutil.Process(command.pid).children(recursive=True)
        assert child.nice() == 19
        group = Path(f"/proc/{child.pid}/autogroup")
        assert not group.exists() or "nice 19" in group.read_text()
        command.send_signal(number)
        assert within(20, lambda: not child.is_running())
        assert command.wait(20) != 0
