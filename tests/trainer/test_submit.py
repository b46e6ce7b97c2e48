"""From a checkpoint to a bundle: what `trainer submit` keeps, refuses and offers instead."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from tests.support.attack_models import VOCABULARY, attack_model
from tests.support.small_models import is_decided, small_checkpoint
from trainer.checkpoint import write_checkpoint
from trainer.cli import cli
from trainer.errors import SubmitError
from trainer.sampling import make_recipe
from trainer.submission.submit import make_submission, save_bundle
from trainer.verse.bundle import read_bundle
from trainer.verse.generate import regenerate
from trainer.verse.model import VerseModel, round_weights
from trainer.verse.replay import replay


def test_a_submitted_verse_replays_from_its_file_and_is_named_by_its_digest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    submission = make_submission(small_checkpoint(), make_recipe(small_checkpoint(), "AB", 80, 5))
    path = save_bundle(submission)
    assert path == Path("submissions") / f"{submission.digest}.verse"
    bundle = read_bundle(path)
    model = VerseModel(bundle.claim.config, bundle.weights)
    assert replay(model, bundle.claim.recipe, bundle.claim.ids).verdict == "PASS"
    assert bundle.claim.text == submission.text
    assert bundle.claim.provenance == {"steps": 3}
    assert save_bundle(make_submission(small_checkpoint(), make_recipe(small_checkpoint(), "AB", 80, 5))) == path


@pytest.mark.slow
def test_an_undecided_verse_is_refused_and_the_seeds_offered_are_decided() -> None:
    author = small_checkpoint(head=0.0)  # at a low temperature its noise alone decides, often by very little
    recipe = make_recipe(author, "A", 1, 0, tokens=480, lines=0)
    model = VerseModel(author.config, round_weights(author.config, author.weights))
    tried = regenerate(model, author.vocabulary, [replace(recipe, seed=seed) for seed in range(128)])
    doubtful = {each.recipe.seed for each in tried if not is_decided(each)}
    assert 0 < len(doubtful) < 64
    seed = min(doubtful)
    with pytest.raises(SubmitError, match=rf"seed {seed} is UNDECIDED.*Nothing was written; try --seed") as refused:
        make_submission(author, replace(recipe, seed=seed))
    offered = [int(word) for word in str(refused.value).split("--seed ")[1].split(" or ")]
    assert offered
    assert not doubtful & set(offered)
    assert is_decided(make_submission(author, replace(recipe, seed=offered[0])).written)


def test_a_model_whose_verses_are_all_undecided_is_refused_with_other_advice() -> None:
    author = small_checkpoint("ABC\n", head=0.0)
    with pytest.raises(SubmitError, match=r"UNDECIDED.*try another prompt or temperature"):
        make_submission(author, make_recipe(author, "A", 0, 7))  # greedy, and all logits equal


def test_invalid_text_is_refused_and_seeds_that_write_text_are_offered() -> None:
    author = small_checkpoint("\nabcdefghijklmnopqrstuvw\u202e", head=0.0)
    recipe = make_recipe(author, "a", 100, 0, tokens=10)
    seeds = range(64)
    for seed in seeds:
        try:
            make_submission(author, replace(recipe, seed=seed))
        except SubmitError as refused:
            assert "not text: the control character U+202E" in str(refused)
            good = int(str(refused).split("--seed ")[1].split(" or ")[0])
            assert "\u202e" not in make_submission(author, replace(recipe, seed=good)).text
            return
    pytest.fail("no seed wrote the control character")


def test_a_prompt_longer_than_an_event_shows_is_refused() -> None:
    recipe = make_recipe(small_checkpoint(), 61 * "A", 80, 1, tokens=20, lines=0)
    with pytest.raises(SubmitError, match="the prompt has 61 characters, and at most 60"):
        make_submission(small_checkpoint(), recipe)


@pytest.mark.slow
def test_a_verse_longer_than_an_event_shows_is_refused() -> None:
    with pytest.raises(SubmitError, match="481 characters, and at most 480"):
        make_submission(small_checkpoint(), make_recipe(small_checkpoint(), "A", 80, 1, tokens=481, lines=0))


def test_a_prompt_the_model_cannot_read_and_a_fine_temperature_are_refused_by_the_command(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "a.safetensors", small_checkpoint())
    base = ["submit", "--ckpt", str(tmp_path / "a.safetensors"), "--out", str(tmp_path / "a.verse")]
    for arguments, what in ((["--prompt", "é"], "does not know 'é'"), (["--temperature", "0.805"], "steps of 0.01")):
        result = CliRunner().invoke(cli, [*base, *arguments])
        assert what in str(result.exception)
    assert not (tmp_path / "a.verse").exists()


def test_the_command_shows_the_verse_and_how_to_check_it(tmp_path: Path) -> None:
    write_checkpoint(tmp_path / "a.safetensors", small_checkpoint())
    out = tmp_path / "my verse.verse"
    result = CliRunner().invoke(
        cli, ["submit", "--ckpt", str(tmp_path / "a.safetensors"), "--prompt", "AB", "--out", str(out)]
    )
    assert result.exit_code == 0, result.output
    assert read_bundle(out).claim.text in result.output
    assert f"arena verify '{out}'" in result.output


def test_a_missing_folder_is_an_error_and_nothing_is_written(tmp_path: Path) -> None:
    submission = make_submission(small_checkpoint(), make_recipe(small_checkpoint(), "AB", 80, 5))
    with pytest.raises(FileNotFoundError):
        save_bundle(submission, tmp_path / "nowhere" / "a.verse")
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_magnifies_rounding_errors_cannot_submit_and_its_verses_are_not_auditioned(tmp_path: Path) -> None:
    config, weights = attack_model("zero_row", 0)
    single = {name: weight.astype(np.float32) for name, weight in weights.items()}
    ckpt = str(tmp_path / "a.safetensors")
    write_checkpoint(Path(ckpt), replace(small_checkpoint(vocabulary=VOCABULARY), config=config, weights=single))
    out = tmp_path / "a.verse"
    recipe = ["--ckpt", ckpt, "--prompt", "na", "--tokens", "40"]
    result = CliRunner().invoke(cli, ["submit", *recipe, "--seed", "3", "--out", str(out)])
    assert re.search(r"magnifies rounding errors.*Nothing was written; try another prompt", str(result.exception))
    assert not out.exists()
    result = CliRunner().invoke(cli, ["audition", *recipe, "--count", "6"])
    assert re.search(r"no verse is left \(.*undecided", str(result.exception))
    result = CliRunner().invoke(cli, ["generate", *recipe])
    assert (result.exit_code, "UNDECIDED: another machine may write another verse" in result.output) == (0, True)
