"""`trainer retrain`: a bundle's model trained again from its record, and what does not agree is named."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.training_runs import PLAN, RunCommand, tiny
from trainer import retrain as module
from trainer.checkpoint import Checkpoint, read_checkpoint
from trainer.checks import retraining
from trainer.checks.comparison import PARTS, Comparison
from trainer.checks.retraining import compare_event, unlike
from trainer.errors import RetrainError
from trainer.plan import Plan, Revision, write_plan
from trainer.retrain import RecordError, needed_memory, prepare, read_record, retrain_bundle
from trainer.runtime.run import Run
from trainer.sampling import make_recipe
from trainer.submission.submit import make_submission
from trainer.train import resume, train
from trainer.verse.bundle import Bundle, pack, parse_bundle

ALL_BUT_EVENT = [part for part in PARTS if part != "event"]


def bundle_of(checkpoint: Checkpoint) -> Bundle:
    """What `trainer submit` packs."""
    for seed in range(50):
        try:
            return parse_bundle(make_submission(checkpoint, make_recipe(checkpoint, "", 80, seed, tokens=15)).data)
        except Exception as error:  # a verse that cannot be submitted: the next seed
            last = error
    raise last


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Run, Bundle]:
    """The text, the run and the bundle of an honest training of 12 steps, for an event."""
    folder = tmp_path_factory.mktemp("honest")
    config = tiny(folder, nonce="a" * 64, owner="b" * 64, dropout=0.1)
    run = train(config, folder / "run", PLAN)
    return folder / "own.txt", run, bundle_of(read_checkpoint(run.best))


def with_record(bundle: Bundle, weights: Mapping[str, Any] | None = None, **changes: Any) -> Bundle:
    """The bundle with another record, or with other weights: its claim stays whole, as its author can make it."""
    provenance = {**bundle.claim.provenance, **changes}
    checkpoint = Checkpoint(
        bundle.claim.config, bundle.claim.vocabulary, 1, None, {}, provenance, dict(weights or bundle.weights)
    )
    return bundle_of(checkpoint)


def train_settings(bundle: Bundle, **changes: Any) -> dict[str, Any]:
    return {**bundle.claim.provenance["train"], **changes}


def verdicts(bundle: Bundle, text: Path) -> dict[str, str]:
    _, comparisons = retrain_bundle(bundle, [text], lambda estimate: True)
    assert comparisons is not None
    return {one.part: one.verdict for one in comparisons}


def test_an_honest_run_comes_out_bit_for_bit(honest: tuple[Path, Run, Bundle]) -> None:
    text, _, bundle = honest
    assert verdicts(bundle, text) == dict.fromkeys(ALL_BUT_EVENT, "agrees")


def test_a_second_round_comes_out_too_bit_for_bit(tmp_path: Path) -> None:
    config = tiny(tmp_path, arch="gpt2", optimizer="adamw")
    run = train(config, tmp_path / "run", Plan((Revision(0, 8, 2),)))
    resume(run.path, further=Plan((Revision(0, 40, 4),)))
    last = read_checkpoint(run.last)
    assert last.step == 48
    assert verdicts(bundle_of(last), tmp_path / "own.txt")["weights"] == "agrees"


def test_a_checkpoint_from_the_middle_of_a_plan_comes_out_by_the_schedule_of_the_whole_plan(tmp_path: Path) -> None:
    config, plan = tiny(tmp_path), Plan((Revision(0, 40, 10), Revision(5, 60, 15)))
    dataset = module.load_dataset(config)
    run = Run(tmp_path / "run")
    run.path.mkdir()
    write_plan(run.plan, plan)
    module.write_config(run, config, dataset.corpus_record | {"baselines": asdict(dataset.baselines)})
    state = module.start_state(run, config, dataset, plan, module.SINGLE_PROCESS)
    module.run_loop(state, plan, None, None, module.RunClock(), until=12)
    middle = read_checkpoint(run.last)
    assert middle.step == 12 and middle.provenance["plan"]["revisions"][-1]["steps"] == 60
    assert verdicts(bundle_of(middle), tmp_path / "own.txt") == dict.fromkeys(ALL_BUT_EVENT, "agrees")


def test_another_seed_than_the_record_names_is_named_in_every_part(honest: tuple[Path, Run, Bundle]) -> None:
    text, _, bundle = honest
    found = verdicts(with_record(bundle, train=train_settings(bundle, seed=7)), text)
    assert found == dict.fromkeys(ALL_BUT_EVENT, "does not agree") | {"record": "agrees"} | {
        "verse": found["verse"]  # two models of 12 steps may find a verse equally likely
    }


def test_weights_trained_for_some_more_steps_are_named(honest: tuple[Path, Run, Bundle], tmp_path: Path) -> None:
    text, run, bundle = honest
    longer = Plan((Revision(0, 12, 3), Revision(12, 24, 3)))
    config = replace(module.read_config(run)[0], corpus=str(text))
    more = read_checkpoint(train(config, tmp_path / "more", longer).last)
    found = verdicts(with_record(bundle, more.weights), text)
    assert (found["record"], found["curve"]) == ("agrees", "agrees"), "the record is that of the first training"
    assert {found[part] for part in ("loss", "verse", "weights")} == {"does not agree"}


def test_weights_set_by_hand_are_named(honest: tuple[Path, Run, Bundle]) -> None:
    text, _, bundle = honest
    rng = np.random.default_rng(1)
    weights = {name: rng.normal(0, 0.1, weight.shape).astype(np.float32) for name, weight in bundle.weights.items()}
    found = verdicts(with_record(bundle, weights), text)
    assert {found[part] for part in ("loss", "likeness", "weights")} == {"does not agree"}


def test_one_changed_bit_of_one_weight_is_named(honest: tuple[Path, Run, Bundle]) -> None:
    text, _, bundle = honest
    weights = {name: weight.astype(np.float32) for name, weight in bundle.weights.items()}
    weights["h.0.mlp.c_fc.weight"][0, 0] += 0.001
    found = verdicts(with_record(bundle, weights), text)
    assert (found["weights"], found["curve"]) == ("does not agree", "agrees")


def plan_of(steps: int, evaluations: int) -> dict[str, Any]:
    return {"format": 1, "revisions": [{"at_step": 0, "steps": steps, "evaluations": evaluations, "threads": 0}]}


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"steps": 40}, "plan ends at step 12"),
        ({"steps": True}, "plan ends at step 12"),
        ({"plan": plan_of(12, 12), "loss_curve": [[5, 1.0, 1.0]]}, ""),
        ({"loss_curve": [[5, 1.0, 1.0]]}, "evaluates nothing"),
        ({"loss_curve": [[8, 1.0, 1.0], [4, 1.0, 1.0]]}, "not in order"),
        ({"loss_curve": [[8, "1", 1.0]]}, "two losses"),
        ({"loss_curve": [{}]}, "two losses"),
        ({"plan": "long"}, "not a plan"),
        (
            {"plan": {"format": 1, "revisions": [asdict(Revision(0, 10_000_000, 10_000_000))]}, "steps": 9},
            "evaluations",
        ),
        (
            {"plan": {"format": 1, "revisions": [{"at_step": 0, "steps": 10**9, "evaluations": 1, "threads": 0}]}},
            "imposs",
        ),
        ({"corpus": 1}, "not tell"),
        ({"train": "x"}, None),
    ],
)
def test_a_record_that_cannot_be_true_is_named_before_anything_is_trained(
    honest: tuple[Path, Run, Bundle], changes: dict[str, Any], why: str | None
) -> None:
    bundle = honest[2]
    lying = with_record(bundle, **changes)
    if why is None:
        with pytest.raises(RetrainError):
            read_record(lying)
    elif why:
        with pytest.raises(RecordError, match=why):
            read_record(lying)
        [record, *others] = retrain_bundle(lying, [], lambda estimate: True)[1] or []
        assert record.verdict == "does not agree" and {one.verdict for one in others} == {"cannot be compared"}
    else:
        assert read_record(lying).steps == 12


@pytest.mark.parametrize(
    "changes",
    [
        {"batch_size": 4097},
        {"batch_size": "4"},
        {"learning_rate": 1e9},
        {"n_embd": 32},
        {"tokenizer": "bpe", "vocab_size": 300},
        {"threads": 10**6},
        {"seed": -1},
        {"device": ["cpu"]},
    ],
)
def test_a_record_of_odd_settings_is_named(honest: tuple[Path, Run, Bundle], changes: dict[str, Any]) -> None:
    bundle = honest[2]
    with pytest.raises(RecordError):
        read_record(with_record(bundle, train=train_settings(bundle, **changes)))


def test_a_plan_that_tells_fewer_steps_than_were_trained_is_named(tmp_path: Path) -> None:
    plan = Plan((Revision(0, 60, 5),))
    bundle = bundle_of(read_checkpoint(train(tiny(tmp_path), tmp_path / "run", plan).last))
    short = {"plan": Plan((Revision(0, 12, 1),)).to_dict(), "steps": 12}
    found = verdicts(with_record(bundle, loss_curve=[], **short), tmp_path / "own.txt")
    assert found["curve"] == "cannot be compared", "it tells none"
    assert {found[part] for part in ("loss", "weights")} == {"does not agree"}
    curve = bundle.claim.provenance["loss_curve"][:1]
    found = verdicts(with_record(bundle, loss_curve=curve, **short), tmp_path / "own.txt")
    assert found["curve"] == "does not agree", "the learning rate fell in another way"


def test_a_training_that_diverges_is_said_to_be_none(honest: tuple[Path, Run, Bundle]) -> None:
    text, _, bundle = honest
    found = verdicts(with_record(bundle, train=train_settings(bundle, learning_rate=9.9, optimizer="adamw")), text)
    assert found["record"] == "does not agree" or found["loss"] == "does not agree"


def test_the_text_is_found_by_its_digest_and_never_by_a_path_of_the_record(
    honest: tuple[Path, Run, Bundle], tmp_path: Path
) -> None:
    text, _, bundle = honest
    named = with_record(bundle, train=train_settings(bundle, corpus=str(text)))
    with pytest.raises(RetrainError, match="not known here: give it with --corpus FILE"):
        prepare(named, [])
    other = tmp_path / "other.txt"
    other.write_text("another text\n" * 300, encoding="utf-8")
    with pytest.raises(RetrainError, match="this is not the text of the training"):
        prepare(bundle, [other])


def test_a_batch_that_memory_does_not_hold_is_refused_before_it_is_made(
    honest: tuple[Path, Run, Bundle], monkeypatch: pytest.MonkeyPatch
) -> None:
    text, _, bundle = honest
    monkeypatch.setattr(module, "free_memory", lambda: 2 * 2**30)
    prepare(bundle, [text])
    huge = with_record(bundle, train=train_settings(bundle, batch_size=4096, short_context=0))
    config = read_record(huge).config
    assert needed_memory(config, bundle.claim.config.vocab_size) < 2 * 2**30, "this model is tiny"
    monkeypatch.setattr(module, "free_memory", lambda: 800 * 2**20)
    with pytest.raises(RetrainError, match="GiB of memory"):
        prepare(huge, [text])


def test_a_plan_of_millions_of_steps_is_asked_about_and_not_begun(
    honest: tuple[Path, Run, Bundle], trainer: RunCommand, tmp_path: Path
) -> None:
    text, _, bundle = honest
    plan = {"plan": Plan((Revision(0, 10_000_000, 1),)).to_dict(), "steps": 10_000_000, "loss_curve": []}
    lying = with_record(bundle, **plan)
    path = tmp_path / "long.verse"
    path.write_bytes(packed(lying))
    code, out, err = trainer("retrain", path, "--corpus", text, "--json")
    assert code == 4 and "hours here" in err and "--yes" in err
    told = json.loads(out)
    assert told["comparisons"] is None and told["estimate"]["seconds"] > 600


def packed(bundle: Bundle) -> bytes:
    from trainer.sampling import write_verses
    from trainer.verse.model import VerseModel

    claim = bundle.claim
    [written] = write_verses(VerseModel(claim.config, bundle.weights), claim.vocabulary, [claim.recipe])
    return pack(claim.config, claim.vocabulary, bundle.weights, written, claim.provenance)


def test_the_command_says_in_words_what_agrees_and_ends_with_one_if_something_does_not(
    honest: tuple[Path, Run, Bundle], trainer: RunCommand, tmp_path: Path
) -> None:
    text, _, bundle = honest
    path = tmp_path / "ada.verse"
    path.write_bytes(packed(bundle))
    code, out, err = trainer("retrain", path, "--corpus", text)
    assert code == 0 and "the weights, bit for bit" in out and "Trained again: 6 agree" in out
    assert "step 12/12" in err and "step" not in out.split("Trained")[1]
    path.write_bytes(packed(with_record(bundle, train=train_settings(bundle, seed=8))))
    code, out, _ = trainer("retrain", path, "--corpus", text, "--json")
    assert code == 1
    assert {one["part"] for one in json.loads(out)["comparisons"]} == set(ALL_BUT_EVENT)


def test_on_another_kind_of_processor_bits_are_not_compared_and_numbers_are(
    honest: tuple[Path, Run, Bundle],
) -> None:
    text, _, bundle = honest
    weights = {name: weight.astype(np.float32) for name, weight in bundle.weights.items()}
    weights["h.0.mlp.c_fc.weight"][0, 0] += 0.001
    found = verdicts(with_record(bundle, weights, processor="Another, AVX2"), text)
    assert found == dict.fromkeys(ALL_BUT_EVENT, "agrees") | {"weights": "cannot be compared"}
    seeded = with_record(bundle, processor="Another, AVX2", train=train_settings(bundle, seed=7))
    assert verdicts(seeded, text)["likeness"] == "does not agree"


def test_what_differs_from_the_machine_of_the_record_is_said() -> None:
    here = {"device": "cpu", "system": "Linux", "processor": "A", "versions": {"verse-arena": "1", "torch": "2"}}
    assert unlike(here, here) == ""
    assert unlike({**here, "processor": "B"}, here) == "the record names another processor"
    assert unlike({key: value for key, value in here.items() if key != "processor"}, here) == (
        "the record names no processor"
    )
    assert "torch" in unlike({**here, "versions": {"verse-arena": "1"}}, here)
    assert "version" in unlike({**here, "versions": 3}, here)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"threads": 1000}, "1,000 threads"),
        ({"device": "cuda"}, "graphics card"),
        ({"compile": True}, "compilers"),
        ({"processes": 2}, "by 2 processes"),
    ],
)
def test_what_this_computer_cannot_do_in_the_same_way_is_done_in_another_and_said(
    honest: tuple[Path, Run, Bundle], changes: dict[str, Any], why: str
) -> None:
    text, _, bundle = honest
    record = read_record(with_record(bundle, train=train_settings(bundle, **changes)))
    config, plan, obstacle = module.adapt(record.config, record.plan, module.find_text(record, [text]))
    assert why in obstacle
    assert config.processes == 1 and config.threads <= (os.cpu_count() or 1) and config.corpus == str(text)
    assert max(revision.threads for revision in plan.revisions) <= (os.cpu_count() or 1)


def test_who_it_was_trained_for_is_compared_with_the_event_and_the_author() -> None:
    record = {"train": {"nonce": "a" * 64, "owner": "b" * 64}}
    assert compare_event(record, "a" * 64, "b" * 64).verdict == "agrees"
    assert "another author" in compare_event(record, "a" * 64, "c" * 64).detail
    assert "another event" in compare_event(record, "d" * 64, "b" * 64).detail
    for odd in ({}, {"train": {"nonce": "", "owner": ""}}, {"train": 3}, {"train": {"nonce": [], "owner": 1}}):
        assert compare_event(odd, "a" * 64, "b" * 64).verdict == "cannot be compared"
    assert compare_event(record, None, "b" * 64).verdict == "cannot be compared"


def test_a_result_of_another_process_is_read_strictly() -> None:
    good = asdict(Comparison("weights", "agrees", "x" * 1000))
    assert len(Comparison.from_dict(good).detail) == retraining.MAX_DETAIL
    for odd in (
        None,
        [],
        good | {"part": "wings"},
        good | {"verdict": "PASS"},
        good | {"more": 1},
        good | {"detail": 1},
    ):
        with pytest.raises(ValueError, match="not a comparison"):
            Comparison.from_dict(odd)
