"""Runs from start to end, and what becomes of them when they are cut short."""

from __future__ import annotations

import contextlib
import io
import json
import math
import os
import signal
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch

from tests.support.training_runs import PLAN, Clock, Killed, ctrl_c, die, same_weights, slow_down, text_file, tiny
from trainer.checkpoint import read_checkpoint, read_resume, write_checkpoint
from trainer.config import TrainConfig
from trainer.corpus import load_corpus
from trainer.dataset import check_header
from trainer.errors import CheckpointError, CorpusError, Diverged, Interrupted, OptionError, PlanError, RunError
from trainer.loss import validation_loss
from trainer.metrics import Baselines
from trainer.model import load_weights, new_model
from trainer.options import start_training
from trainer.plan import Plan, Revision, read_plan
from trainer.runtime import state as progress
from trainer.runtime.budget import CLOSING_SECONDS
from trainer.runtime.run import Run, read_config, read_metrics
from trainer.sampling import make_recipe, verse_model, write_verses
from trainer.tokenizer import CharTokenizer
from trainer.train import SAVE_SECONDS, resume, train
from trainer.verse import bundle
from trainer.verse.errors import VerseError
from trainer.verse.model import round_weights
from trainer.verse.text import verse_text
from trainer.verse.vocabulary import Vocabulary

LOOKS = 2 + 12 + 3  # at the clock, by a run that follows PLAN: two to begin with, one a step, one an evaluation


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run that nothing disturbed."""
    folder = tmp_path_factory.mktemp("whole")
    return train(tiny(folder), folder / "run", PLAN)


def test_a_run_leaves_everything_in_its_folder(whole: Run) -> None:
    names = {
        "config.json",
        "plan.json",
        "metrics.jsonl",
        "best.safetensors",
        "last.safetensors",
        "samples.txt",
        "curve.png",
    }
    assert {path.name for path in whole.path.iterdir()} == names


def test_the_validation_loss_starts_below_the_uniform_baseline_and_falls(whole: Run) -> None:
    baselines = read_config(whole)[1]["baselines"]
    losses = [line["val_loss"] for line in read_metrics(whole) if "val_loss" in line]
    assert baselines["uniform"] > losses[0] > losses[1] > losses[2]


def test_the_metrics_have_a_line_a_record_with_all_that_is_plotted(whole: Run) -> None:
    lines = read_metrics(whole)
    assert [line["step"] for line in lines] == list(range(1, 13))
    assert [line["step"] for line in lines if "val_loss" in line] == [4, 8, 12]
    assert all(line["learning_rate"] > 0 and math.isfinite(line["train_loss"]) for line in lines)
    assert [line["seconds"] for line in lines] == sorted(line["seconds"] for line in lines)


def test_a_checkpoint_s_loss_is_the_one_its_weights_have(whole: Run) -> None:
    best = read_checkpoint(whole.path)
    corpus = load_corpus(read_config(whole)[0].corpus)
    ids = torch.from_numpy(CharTokenizer(best.vocabulary).encode(corpus.text))
    model = new_model(best.config, b"")
    load_weights(model, best.weights.items())
    assert validation_loss(model, ids[corpus.split :], 16, best.config.vocab_size) == best.val_loss
    assert best.corpus == {"name": "own", "sha256": corpus.sha256, "tokens_per_character": 1.0}


def test_samples_are_what_the_verse_engine_writes(whole: Run) -> None:
    best = read_checkpoint(whole.path)
    text = whole.samples.read_text(encoding="utf-8")
    assert text.count("--- step") == 3
    recipe = make_recipe(best, "\n", 80, 1337, 0, 200, 4)
    [sample] = write_verses(verse_model(best), best.vocabulary, [recipe])
    assert text.endswith(verse_text(best.vocabulary, recipe, sample.ids) + "\n\n")


def test_the_record_of_the_training_is_enough_for_a_bundle(whole: Run, tmp_path: Path) -> None:
    best = read_checkpoint(whole.path)
    provenance = best.provenance
    assert provenance["corpus"]["sha256"] == best.corpus["sha256"]
    assert (provenance["seed"], provenance["steps"]) == (1337, 12)
    assert Plan.from_dict(provenance["plan"]) == PLAN
    assert [point[0] for point in provenance["loss_curve"]] == [4, 8, 12]
    assert provenance["device"] == "cpu"
    assert provenance["versions"]["torch"] == str(torch.__version__)
    assert str(tmp_path.parent) not in json.dumps(provenance)  # no path of this machine
    [written] = write_verses(verse_model(best), best.vocabulary, [make_recipe(best, "", 80, 1)])
    data = bundle.pack(best.config, best.vocabulary, round_weights(best.config, best.weights), written, best.provenance)
    (tmp_path / "a.verse").write_bytes(data)
    assert bundle.read_bundle(tmp_path / "a.verse").claim.provenance == provenance


def test_the_same_settings_give_the_same_weights_and_another_seed_others(whole: Run, tmp_path: Path) -> None:
    assert same_weights(train(tiny(tmp_path), tmp_path / "again", PLAN), whole)
    assert not same_weights(train(tiny(tmp_path, seed=2), tmp_path / "other", PLAN), whole)


# --- cut short and taken up again -------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "every"),
    [
        ({}, 1),
        ({"dropout": 0.2}, 5),
        ({"precision": "bf16", "short_context": 8, "threads": 2}, 5),
        ({"arch": "gpt2", "optimizer": "adamw", "learning_rate": 4e-3, "dropout": 0.1, "precision": "bf16"}, 5),
    ],
    ids=["every look", "dropout", "as auto has it", "gpt2"],
)
def test_a_run_killed_at_any_step_and_resumed_ends_in_the_same_bits(
    settings: dict[str, Any], every: int, tmp_path: Path
) -> None:
    config = tiny(tmp_path, **settings)
    undisturbed = train(config, tmp_path / "whole", PLAN)
    for look in range(2, LOOKS + 1, every):
        folder = tmp_path / f"killed-{look}"
        with pytest.raises(Killed):
            train(config, folder, PLAN, clock=Clock({look: die}))
        run = resume(folder)
        assert same_weights(run, undisturbed)
        assert same_weights(run, undisturbed, "best")
        assert [line["step"] for line in read_metrics(run)] == list(range(1, 13))
        assert [line["train_loss"] for line in read_metrics(run)] == [
            line["train_loss"] for line in read_metrics(undisturbed)
        ]
        assert run.samples.read_bytes() == undisturbed.samples.read_bytes()


@pytest.mark.parametrize("writes", range(6))
def test_a_run_killed_between_its_checkpoints_ends_in_the_same_bits(
    writes: int, whole: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[Path] = []

    def write(path: Path, *rest: Any) -> None:
        if len(written) == writes:
            raise Killed
        written.append(path)
        write_checkpoint(path, *rest)

    monkeypatch.setattr(progress, "write_checkpoint", write)
    with pytest.raises(Killed):
        train(tiny(tmp_path), tmp_path / "run", PLAN)
    monkeypatch.undo()
    run = resume(tmp_path / "run")
    assert same_weights(run, whole) and same_weights(run, whole, "best")
    assert [line["train_loss"] for line in read_metrics(run)] == [line["train_loss"] for line in read_metrics(whole)]


HEART = Plan((Revision(0, 400, 20),))  # so many steps that a run on 400 characters learns them by heart


class EarlyEnd(NamedTuple):
    """A run that ended early, undisturbed."""

    config: TrainConfig
    run: Run
    looks: int  # at the clock
    output: str


@pytest.fixture(scope="module")
def early(tmp_path_factory: pytest.TempPathFactory) -> EarlyEnd:
    folder, clock, output = tmp_path_factory.mktemp("early"), Clock(), io.StringIO()
    config = tiny(folder, n_embd=64, learning_rate=1e-2)
    text_file(folder, characters=400)
    with contextlib.redirect_stdout(output):
        run = train(config, folder / "run", HEART, clock=clock)
    return EarlyEnd(config, run, clock.looks, output.getvalue())


@pytest.mark.slow
@pytest.mark.parametrize("looks_left", [0, 1, 2])
def test_a_run_that_ends_early_does_so_too_when_it_was_killed_at_its_last_steps(
    looks_left: int, early: EarlyEnd, tmp_path: Path
) -> None:
    with pytest.raises(Killed):
        train(early.config, tmp_path / "run", HEART, clock=Clock({early.looks - looks_left: die}))
    run = resume(tmp_path / "run")
    assert read_plan(run.plan) == read_plan(early.run.plan)
    assert same_weights(run, early.run) and same_weights(run, early.run, "best")


@pytest.mark.slow
def test_a_run_that_ends_early_does_so_too_when_it_was_killed_again_and_again(early: EarlyEnd, tmp_path: Path) -> None:
    with pytest.raises(Killed):
        train(early.config, tmp_path / "run", HEART, clock=Clock({2: die}))
    kills, run = 1, None
    while run is None:
        try:
            run = resume(tmp_path / "run", clock=Clock({7 + kills: die}))  # each life is a look longer than the last
        except Killed:
            kills += 1
    assert kills > 4
    assert read_plan(run.plan) == read_plan(early.run.plan)
    assert same_weights(run, early.run) and same_weights(run, early.run, "best")


def test_a_run_is_saved_by_the_clock_between_two_distant_evaluations(whole: Run, tmp_path: Path) -> None:
    with pytest.raises(Killed):
        train(tiny(tmp_path), tmp_path / "run", PLAN, clock=Clock({5: die}, seconds=SAVE_SECONDS * 0.7))
    step = read_checkpoint(tmp_path / "run" / "last.safetensors").step
    assert 0 < step < 4
    assert same_weights(resume(tmp_path / "run"), whole)


def test_ctrl_c_saves_and_shows_the_exact_command_that_resumes(whole: Run, tmp_path: Path) -> None:
    folder = tmp_path / "a run"
    clock = Clock({2 + 4 + 1 + 2: ctrl_c})
    with pytest.raises(Interrupted, match=rf"trainer train --resume '{folder}'$"):
        train(tiny(tmp_path), folder, PLAN, clock=clock)
    assert (
        read_resume(folder / "last.safetensors")[0].step == 6
    )  # two looks before the first step, one a step, one an evaluation
    assert same_weights(resume(folder), whole)


def test_ctrl_c_at_the_last_step_lets_the_run_end(whole: Run, tmp_path: Path) -> None:
    clock = Clock({LOOKS - 1: ctrl_c})
    assert same_weights(train(tiny(tmp_path), tmp_path / "run", PLAN, clock=clock), whole)


def test_a_second_ctrl_c_while_saving_leaves_the_checkpoint_before_whole(
    whole: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsync = os.fsync
    pressed = []

    def impatient(descriptor: int) -> None:
        if pressed:  # the first one asked to stop; this comes in the middle of the writing
            pressed.clear()
            signal.raise_signal(signal.SIGINT)
        fsync(descriptor)

    def press(clock: Clock) -> None:
        pressed.append(True)
        ctrl_c(clock)

    monkeypatch.setattr(os, "fsync", impatient)
    folder = tmp_path / "run"
    with pytest.raises(Interrupted, match="at once"):
        train(tiny(tmp_path), folder, PLAN, clock=Clock({2 + 8 + 2 + 1: press}))
    assert not list(folder.glob(".*"))  # no half-written file
    assert read_resume(folder / "last.safetensors")[0].step == 8
    assert same_weights(resume(folder), whole)


def test_the_handler_of_ctrl_c_is_replaced_only_while_training(whole: Run) -> None:
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_finished_run_resumed_has_nothing_to_do(
    whole: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = train(tiny(tmp_path), tmp_path / "run", PLAN)
    before = {path: path.read_bytes() for path in run.path.iterdir()}
    resume(run.path)
    assert {path: path.read_bytes() for path in run.path.iterdir()} == before
    assert "Best validation loss" in capsys.readouterr().out


def test_an_unfinished_line_of_a_killed_process_is_overlooked(tmp_path: Path) -> None:
    with pytest.raises(Killed):
        train(tiny(tmp_path), tmp_path / "run", PLAN, clock=Clock({11: die}))
    with (tmp_path / "run" / "metrics.jsonl").open("a") as file:
        file.write('{"step": 8, "tr')
    run = resume(tmp_path / "run")
    assert [line["step"] for line in read_metrics(run)] == list(range(1, 13))


def change_corpus(run: Run) -> None:
    Path(read_config(run)[0].corpus).write_text("A quite different text.\n" * 200)


def change_plan(run: Run) -> None:
    run.plan.write_text(run.plan.read_text().replace("12", "11"))


def change_model(run: Run) -> None:
    run.config.write_text(run.config.read_text().replace('"n_embd": 16', '"n_embd": 32'))


@pytest.mark.parametrize(
    ("damage", "error", "says"),
    [
        (change_corpus, RunError, "has changed"),
        (change_plan, PlanError, "not the plan"),
        (change_model, CheckpointError, "another model"),
        (lambda run: run.plan.unlink(), PlanError, "no plan"),
        (lambda run: run.config.unlink(), RunError, "is not a run"),
        (lambda run: run.config.write_text("{"), RunError, "damaged"),
        (lambda run: run.config.write_text(run.config.read_text().replace("16", "17")), RunError, "damaged"),
        (lambda run: run.last.write_bytes(run.last.read_bytes()[:-1]), CheckpointError, "cannot be used"),
        (lambda run: run.last.write_bytes(run.best.read_bytes()), CheckpointError, "needed to resume"),
    ],
)
def test_a_run_whose_files_were_changed_is_not_resumed(
    damage: Any, error: type[Exception], says: str, tmp_path: Path
) -> None:
    with pytest.raises(Killed):
        train(tiny(tmp_path), tmp_path / "run", PLAN, clock=Clock({9: die}))
    damage(Run(tmp_path / "run"))
    with pytest.raises(error, match=says):
        resume(tmp_path / "run")


# --- minutes ----------------------------------------------------------------------------------------------------------


def test_minutes_become_steps_and_a_clock_that_disagrees_revises_them(tmp_path: Path) -> None:
    clock = Clock({40: slow_down})
    run = train(tiny(tmp_path), tmp_path / "run", minutes=2, clock=clock)
    plan = read_plan(run.plan)
    first, *revised = plan.revisions
    assert first.steps > 90  # a second each
    assert revised
    assert plan.steps < 80  # two seconds each, later on
    assert read_checkpoint(run.last).step == plan.steps
    assert clock.now == pytest.approx(120 - CLOSING_SECONDS, rel=0.05)


def test_a_repeated_plan_gives_the_same_weights_without_a_look_at_the_clock(tmp_path: Path) -> None:
    config = tiny(tmp_path)
    run = train(config, tmp_path / "run", minutes=1, clock=Clock({20: slow_down}))
    plan = read_plan(run.plan)
    assert len(plan.revisions) > 1
    again = train(config, tmp_path / "again", plan, clock=Clock(seconds=SAVE_SECONDS / 10))
    assert read_plan(again.plan) == plan
    assert same_weights(again, run)
    assert same_weights(again, run, "best")


def test_a_run_by_minutes_killed_and_resumed_follows_its_written_plan(tmp_path: Path) -> None:
    config = tiny(tmp_path)
    with pytest.raises(Killed):
        train(config, tmp_path / "run", minutes=2, clock=Clock({40: slow_down, 70: die}))
    run = resume(tmp_path / "run", clock=Clock(seconds=SAVE_SECONDS / 10))
    assert len(read_plan(run.plan).revisions) > 1
    assert same_weights(train(config, tmp_path / "again", read_plan(run.plan)), run)


def test_a_time_that_cannot_be_kept_is_refused_before_a_folder_is_made(tmp_path: Path) -> None:
    for seconds in (2.0, 30.0):  # a look, while steps are measured and after
        with pytest.raises(OptionError, match=r"Give --minutes [\d.,]+ or more, or a smaller --preset"):
            train(tiny(tmp_path), tmp_path / "run", minutes=0.1, clock=Clock(seconds=seconds))
    assert not (tmp_path / "run").exists()


# --- what is refused, and what goes wrong -----------------------------------------------------------------------------


def test_a_loss_that_is_no_number_stops_the_run_and_keeps_what_was_good(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    with pytest.raises(Killed):
        train(tiny(tmp_path), run.path, PLAN, clock=Clock({9: die}))
    good = {path: path.read_bytes() for path in (run.best, run.last)}
    config = json.loads(run.config.read_text())
    config["train"]["learning_rate"] = 10.0  # from here on the weights are thrown about until nothing is a number
    config["train"]["grad_clip"] = 1e38
    config["train"]["weight_decay"] = 100.0
    run.config.write_text(json.dumps(config))
    with pytest.raises(Diverged, match=r"diverged at step .* is still in .*smaller --learning-rate"):
        resume(run.path)
    assert {path: path.read_bytes() for path in (run.best, run.last)} == good


def test_a_run_that_diverges_at_once_says_that_nothing_was_saved(tmp_path: Path) -> None:
    config = tiny(tmp_path, learning_rate=10.0, grad_clip=1e38, weight_decay=100.0, warmup_steps=0)
    with pytest.raises(Diverged, match="Nothing was saved yet"):
        train(config, tmp_path / "run", PLAN)


def test_a_folder_with_something_in_it_is_not_written_into(whole: Run, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    for out, says in ((tmp_path / "out", "not empty"), (tmp_path / "out" / "mine.txt", "is a file")):
        with pytest.raises(RunError, match=says):
            train(tiny(tmp_path), out, PLAN)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine.txt"]


def test_without_a_name_a_run_takes_the_next_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    plan = Plan((Revision(0, 1, 1),))
    runs = [train(tiny(tmp_path), None, plan).path for _ in range(2)]
    assert [str(path) for path in runs] == [str(Path("runs/own-small-1")), str(Path("runs/own-small-2"))]


def test_what_cannot_be_trained_is_refused_before_a_folder_is_made(tmp_path: Path) -> None:
    short = tmp_path / "short.txt"
    short.write_text("To be, or not")
    monotone = tmp_path / "monotone.txt"
    monotone.write_text("a" * 3000)
    config = tiny(tmp_path)
    for corpus, error in ((short, CorpusError), (monotone, VerseError), (tmp_path / "none", CorpusError)):
        with pytest.raises(error):
            train(replace(config, corpus=str(corpus)), tmp_path / "run", PLAN)
    assert not (tmp_path / "run").exists()


def test_a_tokenizer_that_no_header_could_hold_is_refused() -> None:
    largest = Vocabulary.chars("".join(map(chr, range(0x10000, 0x20000))))  # 65,536 of four bytes each
    check_header(largest)
    with pytest.raises(OptionError, match="smaller vocabulary"):
        check_header(largest, limit=4 * 65_536)


def test_a_text_without_line_feeds_can_be_trained_and_sampled(tmp_path: Path) -> None:
    config = tiny(tmp_path)
    text_file(tmp_path).write_text("the quick brown fox jumps over the lazy dog " * 40)
    run = train(config, tmp_path / "run", Plan((Revision(0, 4, 2),)))
    assert run.samples.read_text().count("--- step") == 2


@pytest.mark.parametrize("arch", ["modern", "gpt2"])
def test_the_summary_says_how_long_a_verse_can_be(
    arch: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(tiny(tmp_path, arch=arch), tmp_path / "run", Plan((Revision(0, 2, 1),)))
    assert f"up to {'1,024' if arch == 'modern' else '15'} tokens" in capsys.readouterr().out


def test_a_run_that_over_fitted_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tiny(tmp_path, n_embd=64, learning_rate=1e-2, weight_decay=0.0)
    text_file(tmp_path, characters=400)
    run = train(config, tmp_path / "run", Plan((Revision(0, 300, 10),)))
    losses = {line["step"]: line["val_loss"] for line in read_metrics(run) if "val_loss" in line}
    best = read_checkpoint(run.path)
    assert best.val_loss == min(losses.values())
    assert best.step == min(losses, key=losses.__getitem__) < 300
    assert f"It over-fitted: after step {best.step}" in capsys.readouterr().out


@pytest.mark.slow
def test_a_run_that_learns_by_heart_is_ended_early_unless_that_is_not_wanted(
    early: EarlyEnd, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "So it was ended early." in early.output
    whole = train(replace(early.config, early_stop=False), tmp_path / "whole", HEART)
    output = capsys.readouterr().out
    assert "It over-fitted" in output and "ended early" not in output
    ended, not_ended = read_metrics(early.run), read_metrics(whole)
    assert read_plan(early.run.plan).steps == ended[-1]["step"] < not_ended[-1]["step"] == 400
    assert ended[-1]["train_loss"] < ended[len(ended) // 3]["train_loss"]  # it learned all the time, by heart
    assert same_weights(early.run, whole, "best")


@pytest.mark.slow
def test_a_run_shortened_by_the_clock_does_not_claim_to_have_ended_early(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tiny(tmp_path, n_embd=64, learning_rate=1e-2, early_stop=False)
    text_file(tmp_path, characters=400)
    train(config, tmp_path / "run", Plan((Revision(0, 600, 20), Revision(60, 400, 20))))
    output = capsys.readouterr().out
    assert "It over-fitted" in output and "ended early" not in output


def test_losses_measured_with_the_short_context_do_not_count_as_over_fitting(tmp_path: Path) -> None:
    run = train(tiny(tmp_path, short_context=8), tmp_path / "run", PLAN)  # evaluates at 4, 8 and 12; 6 are short
    assert len([line for line in read_metrics(run) if "val_loss" in line]) == 3
    _, resumed = read_resume(run.last)
    assert len(resumed.train_state["val_losses"]) == 2


def test_baselines_are_kept_with_the_run(whole: Run) -> None:
    config, corpus = read_config(whole)
    text = load_corpus(config.corpus)
    ids = CharTokenizer.of(text.text).encode(text.text)
    baselines = Baselines.of(ids[: text.split], ids[text.split :], len(set(text.text)))
    assert corpus["baselines"] == asdict(baselines)


def test_a_run_takes_denormal_numbers_for_zero_and_leaves_the_process_as_it_was(whole: Run, tmp_path: Path) -> None:
    def denormal() -> float:
        return float(torch.tensor(1e-39) * 0.5)

    if not torch.set_flush_denormal(False):
        pytest.skip("this processor has no such switch")
    seen: list[float] = []
    clock = Clock({look: lambda _: seen.append(denormal()) for look in range(1, LOOKS)})
    start_training({"plan": whole.path, "out": tmp_path / "run", "device": "cpu"}, clock)
    assert len(seen) > 10 and set(seen[1:]) == {0.0}
    assert denormal() > 0
