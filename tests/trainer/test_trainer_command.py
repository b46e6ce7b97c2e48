"""The `trainer` command as people use it: what it prints, how it ends."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from tests.support.training_runs import PLAN, SMALL, RunCommand, command, same_weights, text_file, tiny
from trainer import cli
from trainer.checkpoint import read_checkpoint, write_checkpoint
from trainer.config import DEFAULT_MINUTES, TrainConfig
from trainer.plan import Plan, Revision, read_plan, write_plan
from trainer.runtime.run import Run, read_config
from trainer.sampling import make_recipe, verse_model, write_verses
from trainer.train import train
from trainer.verse.bundle import pack
from trainer.verse.model import VerseModel, round_weights
from trainer.verse.replay import replay
from trainer.verse.text import verse_text


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished run."""
    folder = tmp_path_factory.mktemp("done")
    return train(tiny(folder), folder / "run", PLAN)


def test_a_run_is_trained_writes_a_verse_and_is_described(trainer: RunCommand, tmp_path: Path) -> None:
    code, out, err = trainer("train", "--corpus", text_file(tmp_path), *SMALL, "--steps", "6", "--out", "mine")
    assert (code, err) == (0, "")
    assert re.search(r"^step 6/6  train \d\.\d{3}  validation \d\.\d{3}", out, re.MULTILINE)
    assert "trainer audition --ckpt mine" in out
    code, verse, err = trainer("generate", "--ckpt", "mine", "--prompt", "The", "--seed", "7", "--tokens", "30")
    assert (code, err) == (0, "")
    assert verse.startswith("The")
    assert len(verse.rstrip("\n")) <= 33
    assert (
        trainer("generate", "--ckpt", "mine/best.safetensors", "--prompt", "The", "--seed", "7", "--tokens", "30")[1]
        == verse
    )
    code, description, _ = trainer("info", "mine")
    assert code == 0
    assert "6 of 6 steps" in description
    assert "1,024 tokens" in description
    assert trainer("info", "mine/last.safetensors")[0] == 0


def test_a_bpe_run_takes_a_prompt_of_its_characters_and_offers_the_nearest_for_others(
    trainer: RunCommand, tmp_path: Path
) -> None:
    bpe = ("--tokenizer", "bpe", "--vocab-size", "300")
    code, out, err = trainer("train", "--corpus", text_file(tmp_path), *SMALL, *bpe, "--steps", "30", "--out", "mine")
    assert (code, err) == (0, "")
    assert re.search(r"^corpus own: 3,000 characters, 300 tokens, 1\.\d\d characters each$", out, re.MULTILINE)
    generate = ("generate", "--ckpt", "mine", "--temperature", "0", "--tokens", "9", "--prompt")
    code, verse, err = trainer(*generate, "the moon")
    assert (code, err, verse[:8]) == (0, "", "the moon")
    code, _, err = trainer(*generate, "Über")
    assert (code, err.count("\n")) == (1, 1)
    assert "'Ü'" in err and "--near" in err
    code, verse, err = trainer(*generate, "Über", "--near")
    assert (code, verse[1:4]) == (0, "ber")
    assert "bpe, 300 tokens" in trainer("info", "mine")[1]


def test_what_generate_writes_the_verse_engine_replays(trainer: RunCommand, done: Run) -> None:
    code, out, _ = trainer(
        "generate", "--ckpt", done.path, "--temperature", "0.5", "--top-k", "5", "--seed", "4", "--lines", "2"
    )
    checkpoint = read_checkpoint(done.path)
    recipe = make_recipe(checkpoint, "", 50, 4, top_k=5, lines=2)
    [written] = write_verses(verse_model(checkpoint), checkpoint.vocabulary, [recipe])
    text = verse_text(checkpoint.vocabulary, recipe, written.ids)
    assert (code, out) == (0, text + "\n")
    model = VerseModel(checkpoint.config, round_weights(checkpoint.config, checkpoint.weights))
    assert replay(model, recipe, written.ids).verdict == "PASS"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--prompt", "µ"), "U+00B5"),
        (("--temperature", "0.815"), "steps of 0.01"),
        (("--temperature", "3"), "0 to 2"),
        (("--top-k", "5000"), "top_k is 5000"),
        (("--seed", "-1"), "seed must be"),
        (("--tokens", "0"), "tokens must be"),
        (("--lines", "65"), "lines must be"),
    ],
)
def test_an_impossible_option_of_generate_is_one_line_that_says_why(
    arguments: tuple[str, ...], says: str, trainer: RunCommand, done: Run
) -> None:
    code, out, err = trainer("generate", "--ckpt", done.path, *arguments)
    assert (code, out) == (1, "")
    assert err.count("\n") == 1
    assert says in err


def test_info_on_a_bundle_shows_its_claim(trainer: RunCommand, done: Run, tmp_path: Path) -> None:
    checkpoint = read_checkpoint(done.path)
    recipe = make_recipe(checkpoint, "The", 80, 5)
    [written] = write_verses(verse_model(checkpoint), checkpoint.vocabulary, [recipe])
    text = verse_text(checkpoint.vocabulary, recipe, written.ids)
    weights = round_weights(checkpoint.config, checkpoint.weights)
    (tmp_path / "a.verse").write_bytes(
        pack(checkpoint.config, checkpoint.vocabulary, weights, written, checkpoint.provenance)
    )
    code, out, _ = trainer("info", "a.verse")
    assert code == 0
    assert text in out
    assert "'The'" in out
    assert "seed 5" in out


def test_a_bundle_stands_for_its_run_in_every_command_that_writes(
    trainer: RunCommand, done: Run, tmp_path: Path
) -> None:
    recipe = ("--prompt", "The", "--seed", 5, "--tokens", 40)
    assert trainer("submit", "--ckpt", done.path, *recipe, "--out", "a.verse")[0] == 0
    assert trainer("submit", "--ckpt", "a.verse", *recipe, "--out", "b.verse")[0] == 0
    assert (tmp_path / "a.verse").read_bytes() == (tmp_path / "b.verse").read_bytes()
    assert trainer("generate", "--ckpt", "a.verse", *recipe) == trainer("generate", "--ckpt", done.path, *recipe)
    audition = ("--count", 6, "--tokens", 40, "--json")
    _, from_run, _ = trainer("audition", "--ckpt", done.path, *audition)
    code, from_bundle, _ = trainer("audition", "--ckpt", "a.verse", *audition)
    assert code == 0
    verses, others = ([verse["text"] for verse in json.loads(out)["verses"]] for out in (from_bundle, from_run))
    assert verses and sorted(verses) == sorted(others)  # away from its run, the corpus is not found and does not count
    assert f"step 12, validation loss {read_checkpoint(done.path).val_loss:.4f}" in trainer("info", "a.verse")[1]


@pytest.mark.parametrize("what", ["missing", "folder", "text"])
def test_info_on_something_else_is_an_error(what: str, trainer: RunCommand, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "text").write_text("just a text, long enough to be looked into")
    code, out, err = trainer("info", what)
    assert (code, out, err.count("\n")) == (1, "", 1)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--minutes", "1", "--steps", "5"), "one of --minutes, --steps and --plan"),
        (("--minutes", "0"), "--minutes must be"),
        (("--steps", "0"), "--steps must be"),
        (("--resume", "x", "--seed", "1"), "leave out --seed"),
        (("--resume", "x", "--no-early-stop"), "leave out --no-early-stop"),
        (("--resume", "x"), "x is not a run"),
        (("--plan", "x"), "no plan at x"),
        (("--device", "cuda", "--steps", "1"), "train with --device cpu"),
        (("--corpus", "x.txt", "--steps", "1"), "no corpus 'x.txt'"),
        (("--dropout", "2", "--steps", "1"), "dropout must be"),
        (("--weight-decay", "-1", "--steps", "1"), "weight_decay must be"),
        (("--learning-rate", "0", "--steps", "1"), "learning_rate must be"),
        (("--batch-size", "0", "--steps", "1"), "batch_size must be"),
        (("--block-size", "2000", "--steps", "1"), "block_size must be"),
        (("--seed", "-1", "--steps", "1"), "seed must be"),
        (("--tokenizer", "char", "--vocab-size", "500", "--steps", "1"), "is for the tokenizer bpe"),
        (("--n-head", "3", "--steps", "1"), "n_embd / n_head"),
        (("--n-embd", "100", "--steps", "1"), "n_embd must be a multiple of 8"),
        (("--short-context", "-4", "--steps", "1"), "short_context must be 0 to"),
        (("--preset", "large", "--n-layer", "40", "--steps", "1"), "more than the"),
        (("--tokenizer", "bpe", "--vocab-size", "2", "--steps", "1"), "vocab_size must be 3 to 65,536"),
        (
            ("--tokenizer", "bpe", "--vocab-size", "64", "--steps", "1"),
            "65 different characters, which are tokens",
        ),
        (("--tokenizer", "bpe", "--vocab-size", "65536", "--preset", "large", "--steps", "1"), "more than the"),
    ],
)
def test_impossible_options_are_one_line_that_says_why(
    arguments: tuple[str, ...], says: str, trainer: RunCommand, tmp_path: Path
) -> None:
    code, _, err = trainer("train", *arguments)
    assert (code, err.count("\n")) == (1, 1)
    assert says in err
    assert not list(tmp_path.iterdir())  # nothing half done


def test_every_setting_of_train_that_is_given_is_the_run_s(trainer: RunCommand, tmp_path: Path) -> None:
    settings = {
        "corpus": str(text_file(tmp_path)),
        "encoding": "cp1252",
        "preset": "tiny",
        "arch": "gpt2",
        "tokenizer": "bpe",
        "vocab_size": 300,
        "device": "cpu",
        "batch_size": 3,
        "block_size": 32,
        "short_context": 8,
        "optimizer": "adamw",
        "learning_rate": 0.01,
        "weight_decay": 0.2,
        "dropout": 0.1,
        "precision": "bf16",
        "n_layer": 1,
        "n_head": 4,
        "n_embd": 32,
        "seed": 5,
    }
    taken = {parameter.name for parameter in cli.cli.commands["train"].params}
    assert taken == settings.keys() | {
        *("compile", "early_stop", "minutes", "steps", "out", "resume", "plan", "strip_gutenberg"),
        *("event", "ticket", "ticket_file", "race", "sample"),
    }
    arguments = [text for name, value in settings.items() for text in (f"--{name.replace('_', '-')}", value)]
    code, _, err = trainer("train", *arguments, "--no-early-stop", "--steps", "4", "--out", "mine")
    assert (code, err) == (0, "")
    config = read_config(Run(tmp_path / "mine"))[0].to_dict()
    assert {name: config[name] for name in settings} == settings
    assert config["early_stop"] is False


def test_a_run_s_plan_ends_early_only_where_that_is_asked_for(trainer: RunCommand, done: Run, tmp_path: Path) -> None:
    assert trainer("train", "--plan", done.path, "--out", "kept")[0] == 0
    assert trainer("train", "--plan", done.path, "--early-stop", "--out", "asked")[0] == 0
    assert [read_config(Run(tmp_path / name))[0].early_stop for name in ("kept", "asked")] == [False, True]


def test_a_plan_with_a_later_revision_may_still_end_early(trainer: RunCommand, tmp_path: Path) -> None:
    write_plan(tmp_path / "plan.json", Plan((Revision(0, 28, 28), Revision(20, 27, 27))))
    wild = ("--optimizer", "adamw", "--learning-rate", "3", "--weight-decay", "0", "--early-stop")
    arguments = ("--corpus", text_file(tmp_path), *SMALL, *wild, "--plan", "plan.json", "--out", "mine")
    code, out, err = trainer("train", *arguments)
    assert (code, err) == (0, "")
    assert "So it was ended early." in out
    assert "a smaller --learning-rate would help" in out
    assert read_plan(tmp_path / "mine").steps < 20


def test_a_run_is_not_repeated_with_a_text_that_has_changed(trainer: RunCommand, tmp_path: Path) -> None:
    text = text_file(tmp_path)
    assert trainer("train", "--corpus", text, *SMALL, "--steps", "2", "--out", "mine")[0] == 0
    text.write_text(text.read_text() + "And more.")
    code, _, err = trainer("train", "--plan", "mine", "--out", "again")
    assert code == 1
    assert "has changed since mine was started" in err
    assert trainer("train", "--plan", "mine", "--corpus", text, "--out", "again")[0] == 0


def test_a_run_for_another_device_is_not_resumed_here(trainer: RunCommand, done: Run, tmp_path: Path) -> None:
    shutil.copytree(done.path, tmp_path / "mine")
    config = tmp_path / "mine" / "config.json"
    config.write_text(config.read_text().replace('"device": "cpu"', '"device": "cuda"'))
    code, _, err = trainer("train", "--resume", "mine")
    assert (code, err.count("\n")) == (1, 1)
    assert "finds no cuda device" in err


def test_too_little_memory_is_one_line_of_advice(trainer: RunCommand, monkeypatch: pytest.MonkeyPatch) -> None:
    def start(*_: object) -> None:
        torch.empty(2**60)

    monkeypatch.setattr("trainer.cli.start_training", start)
    code, _, err = trainer("train")
    assert (code, err.count("\n")) == (1, 1)
    assert "a smaller --batch-size" in err


def test_a_name_that_is_no_unicode_is_one_line_that_says_what_to_do(
    trainer: RunCommand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainer.cli.start_training", lambda *_: "\udcff".encode())  # as a page with such a name in it
    code, _, err = trainer("train")
    assert (code, err.count("\n")) == (1, 1)
    assert "give that file or folder another name" in err


@pytest.mark.slow
def test_a_terminal_that_knows_few_letters_ends_no_run(tmp_path: Path) -> None:
    text = text_file(tmp_path).rename(tmp_path / "poésie.txt")
    completed = subprocess.run(
        command("train", "--corpus", text, *SMALL, "--steps", "2", "--out", "mine"),
        cwd=tmp_path,
        env=os.environ | {"PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "corpus po?sie:" in completed.stdout


def test_a_stranger_s_file_does_not_steer_the_terminal(trainer: RunCommand, done: Run, tmp_path: Path) -> None:
    checkpoint = read_checkpoint(done.path)
    named = replace(checkpoint, corpus={**checkpoint.corpus, "name": "x\x1b[2Jy"})
    write_checkpoint(tmp_path / "bad.safetensors", named)
    out = trainer("info", "bad.safetensors")[1]
    assert r"x\x1b[2Jy" in out
    assert "\x1b" not in out


def test_world_size_without_torchrun_is_one_process(
    trainer: RunCommand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert trainer("train", "--corpus", text_file(tmp_path), *SMALL, "--steps", "2", "--out", "mine")[0] == 0


def test_an_option_that_is_not_there_is_a_usage_error(trainer: RunCommand) -> None:
    code, _, err = trainer("train", "--epochs", "3")
    assert code == 2
    assert "--epochs" in err


def test_a_run_s_plan_is_repeated_with_its_settings_unless_others_are_given(
    trainer: RunCommand, done: Run, tmp_path: Path
) -> None:
    assert trainer("train", "--plan", done.path, "--out", "same")[0] == 0
    assert same_weights(Run(tmp_path / "same"), done)
    assert trainer("train", "--plan", done.path, "--seed", "9", "--out", "other")[0] == 0
    config, _ = read_config(Run(tmp_path / "other"))
    assert (config.seed, config.n_embd) == (9, 16)
    assert read_plan(tmp_path / "other") == PLAN
    assert trainer("train", "--plan", done.plan, "--corpus", text_file(tmp_path), *SMALL, "--out", "third")[0] == 0
    assert read_plan(tmp_path / "third") == PLAN


@pytest.mark.slow
def test_a_plan_repeated_with_another_setting_chooses_anew_what_depended_on_it(
    trainer: RunCommand, tmp_path: Path
) -> None:
    bpe = ("--tokenizer", "bpe", "--vocab-size", "300", "--seed", "5", "--short-context", "8")
    assert trainer("train", "--corpus", text_file(tmp_path), *SMALL, *bpe, "--steps", "2", "--out", "mine")[0] == 0
    first = read_config(Run(tmp_path / "mine"))[0]

    def again(*options: str) -> TrainConfig:
        assert trainer("train", "--plan", "mine", *options, "--out", f"again{options}")[0] == 0
        return read_config(Run(tmp_path / f"again{options}"))[0]

    preset = again("--preset", "tiny")
    assert (preset.n_layer, preset.n_embd, preset.block_size) == (2, 128, 256)
    assert (preset.corpus, preset.tokenizer, preset.vocab_size, preset.seed) == (first.corpus, "bpe", 300, 5)
    assert again("--optimizer", "adamw").learning_rate == pytest.approx(4e-3 * (128 / 16) ** 0.5)
    assert again("--arch", "gpt2").short_context == 0
    assert again("--block-size", "20").short_context == 0
    assert again("--tokenizer", "char").vocab_size == 0
    assert again("--n-embd", "32").n_head == 1
    code, _, err = trainer("train", "--plan", "mine", "--preset", "auto")
    assert (code, err.count("\n")) == (1, 1)
    assert "name a preset" in err


def test_a_run_finds_its_text_again_from_any_folder_and_wherever_it_was_moved(
    trainer: RunCommand, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = text_file(tmp_path)
    assert trainer("train", "--corpus", text.name, *SMALL, "--steps", "2", "--out", "mine")[0] == 0
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert trainer("train", "--resume", "../mine")[0] == 0
    assert trainer("train", "--plan", "../mine", "--out", "again")[0] == 0
    text.rename(tmp_path / "elsewhere" / "moved.txt")
    code, _, err = trainer("train", "--resume", "../mine")
    assert (code, err.count("\n")) == (1, 1)
    assert "no corpus" in err and "--corpus" in err
    assert trainer("train", "--resume", "../mine", "--corpus", "moved.txt")[0] == 0
    assert trainer("train", "--resume", "../mine")[0] == 0  # it has learned where
    (tmp_path / "elsewhere" / "other.txt").write_text("Something else. " * 100)
    assert "has changed" in trainer("train", "--resume", "../mine", "--corpus", "other.txt")[2]


def test_a_folder_that_is_no_run_yet_is_not_offered_for_resuming(trainer: RunCommand, tmp_path: Path) -> None:
    (tmp_path / "half").mkdir()
    write_plan(tmp_path / "half" / "plan.json", PLAN)  # as a run killed at its first moment leaves it
    _, _, err = trainer("train", "--corpus", text_file(tmp_path), *SMALL, "--steps", "2", "--out", "half")
    assert err.endswith("half is not empty: choose another --out\n")


def test_a_file_half_written_by_a_killed_process_is_removed_on_resume(
    trainer: RunCommand, done: Run, tmp_path: Path
) -> None:
    shutil.copytree(done.path, tmp_path / "mine")
    (tmp_path / "mine" / ".last.safetensors.0123456789ab.part").write_bytes(b"half")
    assert trainer("train", "--resume", "mine")[0] == 0
    assert {path.name for path in (tmp_path / "mine").iterdir()} == {path.name for path in done.path.iterdir()}


@pytest.mark.parametrize("line", ["{}", "5", "null", "[]", '{"step": 1}', "{", '{"step": 1, "step": 2}'])
@pytest.mark.parametrize("command", ["info", "plot"])
def test_a_damaged_record_is_one_line_that_says_so(
    command: str, line: str, trainer: RunCommand, done: Run, tmp_path: Path
) -> None:
    shutil.copytree(done.path, tmp_path / "mine")
    with (tmp_path / "mine" / "metrics.jsonl").open("a") as file:
        file.write(line + "\n")
    code, _, err = trainer(command, "mine")
    assert (code, err.count("\n")) == (1, 1)
    assert "metrics.jsonl is damaged: " in err


@pytest.mark.parametrize("baselines", ["{}", '{"foo": 1.0}', '{"uniform": 1.0, "unigram": 1.0, "bigram": "x"}'])
def test_damaged_baselines_are_one_line(baselines: str, trainer: RunCommand, done: Run, tmp_path: Path) -> None:
    shutil.copytree(done.path, tmp_path / "mine")
    config = tmp_path / "mine" / "config.json"
    config.write_text(re.sub(r'"baselines": \{[^}]*\}', f'"baselines": {baselines}', config.read_text()))
    for name in ("info", "plot"):
        code, _, err = trainer(name, "mine")
        assert (code, err.count("\n")) == (1, 1)
        assert "config.json is damaged: " in err


def test_a_checkpoint_with_weights_of_another_kind_is_refused(trainer: RunCommand, done: Run, tmp_path: Path) -> None:
    with safe_open(done.best, framework="pt") as file:
        metadata = file.metadata()
        weights = {name: file.get_tensor(name).bfloat16() for name in file.keys()}  # noqa: SIM118  (no mapping)
    save_file(weights, tmp_path / "bf16.safetensors", metadata)
    for name in ("info", "generate"):
        code, _, err = trainer(name, *(("--ckpt",) if name == "generate" else ()), "bf16.safetensors")
        assert (code, err.count("\n")) == (1, 1)
        assert "has the type BF16, not F32" in err


def test_a_picture_that_cannot_be_written_is_named(trainer: RunCommand, done: Run) -> None:
    code, _, err = trainer("plot", done.path, "--out", "missing/curve.png")
    assert (code, err) == (1, f"Error: {Path('missing/curve.png')}: No such file or directory\n")
    assert "ends in .png, not curve.pdf" in trainer("plot", done.path, "--out", "curve.pdf")[2]


def test_without_minutes_or_steps_a_run_takes_the_default_that_help_names(trainer: RunCommand) -> None:
    assert f"[default: {DEFAULT_MINUTES:g}]" in trainer("train", "--help")[1]


def test_every_help_has_an_example(trainer: RunCommand) -> None:
    for path in (
        (),
        ("corpus",),
        ("corpus", "list"),
        ("corpus", "fetch"),
        ("train",),
        ("generate",),
        ("audition",),
        ("info",),
        ("plot",),
        ("submit",),
    ):
        code, out, _ = trainer(*path, "--help")
        assert code == 0
        assert re.search(r"Examples?[^\n]*:\n\s+trainer ", out), path


def test_corpora_are_listed_with_how_to_get_them(
    trainer: RunCommand, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    code, out, _ = trainer("corpus", "list")
    assert code == 0
    assert "trainer corpus fetch shakespeare" in out
    code, _, err = trainer("corpus", "fetch", "folio")
    assert (code, err.count("\n")) == (1, 1)


def test_without_torch_what_needs_none_works_and_train_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise ModuleNotFoundError('not here', name='torch')")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(Path(cli.__file__).parents[1])])}

    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(command(*arguments), capture_output=True, text=True, env=environment, cwd=tmp_path)

    assert call("--help").returncode == 0
    assert call("corpus", "list").returncode == 0
    completed = call("train", "--steps", "1")
    assert (completed.returncode, completed.stdout) == (1, "")
    assert re.fullmatch(
        r"Error: this needs torch, which is not installed: .*pip install .*\[train\].*\n", completed.stderr
    )


@pytest.mark.slow
def test_without_the_library_of_tokens_characters_work_and_bpe_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "tokenizers.py").write_text("raise ModuleNotFoundError('not here', name='tokenizers')")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(Path(cli.__file__).parents[1])])}

    def train_by(tokenizer: str) -> subprocess.CompletedProcess[str]:
        arguments = ("train", "--corpus", text_file(tmp_path), *SMALL, "--steps", "1", "--tokenizer", tokenizer)
        return subprocess.run(command(*arguments), capture_output=True, text=True, env=environment, cwd=tmp_path)

    completed = train_by("bpe")
    assert completed.returncode == 1
    assert re.fullmatch(r"Error: this needs tokenizers, which is not installed: .*pip install .*\n", completed.stderr)
    assert train_by("char").returncode == 0
