"""What is chosen for those who say little."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.support.training_runs import Clock
from trainer.config import BATCH_TOKENS, DEFAULT_MERGES, OPTIMIZERS, PRESETS, TrainConfig
from trainer.corpus import Corpus
from trainer.errors import OptionError
from trainer.options import start_training
from trainer.runtime import autoconfig
from trainer.runtime.autoconfig import AUTO_PRESETS, autoconfigure, best_precision, measure_step_seconds, suits_pieces
from trainer.runtime.clock import RunClock
from trainer.runtime.run import read_config
from trainer.schedule import context_length
from trainer.verse.config import ARCHITECTURES

LOOKS_AT_FLOAT32 = 1 + 2 * autoconfig.PRODUCTS  # of a new clock: at its start, before and after each product in float32


@pytest.fixture(autouse=True)
def _time_each_model_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let all tests share the times of real steps: one measurement a model and clock, not one a test."""
    monkeypatch.setattr(autoconfig, "measure_step_seconds", measure_once)


PROBE_CLOCK_SECONDS = 1.0  # that a step takes by the tests' clock: a look before and one after
MEASURED: dict[tuple[TrainConfig, float], float] = {}


def measure_once(config: TrainConfig, clock: Any) -> float:
    pace = clock.seconds if isinstance(clock, Clock) else 0.0  # a clock of the tests, or that of the machine
    if (config, pace) not in MEASURED:
        MEASURED[config, pace] = measure_step_seconds(config, clock)
    return MEASURED[config, pace]


def pick(options: dict[str, Any], seconds: float | None = None, clock: Any = time.monotonic) -> tuple[TrainConfig, str]:
    return autoconfigure(options, "cpu", seconds, clock, max_threads=1)


@pytest.mark.parametrize("arch", ARCHITECTURES)
@pytest.mark.parametrize(("name", "millions"), [("tiny", 0.6), ("small", 0.93), ("medium", 10.7), ("large", 85)])
def test_presets_have_the_sizes_they_promise_and_can_be_submitted(arch: str, name: str, millions: float) -> None:
    config, why = pick({"preset": name, "arch": arch})
    tables = 3 * config.vocab_size * config.n_embd if (arch, name) == ("gpt2", "tiny") else 0  # it has no such tables
    n_params = config.model(config.vocab_size or autoconfig.PROBE_SYMBOLS).n_params
    assert n_params + tables == pytest.approx(millions * 1e6, rel=0.1)
    assert why == ""


@pytest.mark.parametrize("arch", ARCHITECTURES)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("seconds", [None, 10.0, 300.0, 1e6])
def test_auto_picks_something_that_can_be_trained_and_says_what(
    seconds: float | None, optimizer: str, arch: str
) -> None:
    config, why = pick({"preset": "auto", "optimizer": optimizer, "arch": arch}, seconds)
    assert config.preset in PRESETS
    assert f"width {config.n_embd}, context {config.block_size}, {config.batch_size} sequences per step" in why
    assert f"products in {config.precision}" in why
    assert (config.arch, config.optimizer, config.device) == (arch, optimizer, "cpu")
    assert config.batch_size * config.block_size >= BATCH_TOKENS["cpu"] / 2
    assert ("ms here" in why) == (seconds is not None)


def test_more_time_chooses_a_larger_model() -> None:
    seconds_a_step = measure_step_seconds(autoconfig.probe_config({"device": "cpu", "precision": "float32"}), Clock())
    assert seconds_a_step == PROBE_CLOCK_SECONDS
    sizes = [
        pick({"precision": "float32"}, steps * seconds_a_step, Clock())[0].model(65).n_params
        for preset in AUTO_PRESETS
        for steps in (preset.min_steps, 1.5 * preset.min_steps + 1)
    ]
    assert sizes == sorted(sizes)
    shapes = {(preset.preset, preset.settings.get("n_layer"), preset.settings.get("n_embd")) for preset in AUTO_PRESETS}
    assert len(set(sizes)) == len(shapes)


def test_bf16_is_chosen_where_it_is_faster() -> None:
    faster, slower = Clock({LOOKS_AT_FLOAT32 + 1: lambda clock: setattr(clock, "seconds", 0.5)}), Clock()
    assert best_precision("cpu", faster) == "bf16"
    assert best_precision("cpu", slower) == "float32"
    assert best_precision("mps", slower) == "float32"


def test_where_bf16_is_emulated_its_products_are_not_timed_for_longer_than_twice_those_of_float32() -> None:
    emulated = Clock({LOOKS_AT_FLOAT32 + 1: lambda clock: setattr(clock, "seconds", 15.0)})
    assert best_precision("cpu", emulated) == "float32"
    assert emulated.looks == LOOKS_AT_FLOAT32 + 2 * autoconfig.MIN_PRODUCTS


def test_a_narrow_model_has_bf16_only_where_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(autoconfig, "best_precision", lambda device, clock: "bf16")
    narrow, wide = {"preset": "auto", "n_embd": 96}, {"preset": "auto", "n_embd": 128}
    assert [pick(options, 60.0)[0].precision for options in (narrow, wide)] == ["float32", "bf16"]
    assert pick({**narrow, "precision": "bf16"}, 60.0)[0].precision == "bf16"


def test_a_card_that_only_emulates_bf16_gets_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (7, 5))  # a T4
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)  # as torch answers there
    assert best_precision("cuda", Clock()) == "float32"


def test_a_card_that_has_bf16_gets_it_where_it_is_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    ones = torch.ones
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (8, 0))
    monkeypatch.setattr(torch, "ones", lambda *size, dtype, device: ones(64, 64, dtype=dtype))  # no card is needed
    monkeypatch.setattr(autoconfig, "configure_device", lambda device, threads: None)
    faster, slower = Clock({LOOKS_AT_FLOAT32 + 1: lambda clock: setattr(clock, "seconds", 0.5)}), Clock()
    assert best_precision("cuda", faster) == "bf16"
    assert best_precision("cuda", slower) == "float32"


def test_given_options_override_preset_and_auto() -> None:
    options = {"n_layer": 3, "n_head": 3, "n_embd": 96, "block_size": 48, "batch_size": 5, "learning_rate": 0.5}
    for preset in ("auto", "large"):
        config, _ = pick(options | {"preset": preset, "dropout": 0.1, "arch": "gpt2", "precision": "bf16"}, 60.0)
        assert config == replace(config, **options)
        assert (config.dropout, config.arch, config.precision) == (0.1, "gpt2", "bf16")


def test_all_presets_decay_weights_and_the_large_ones_drop_activations() -> None:
    for name, drops in (("tiny", False), ("small", False), ("medium", True), ("large", True)):
        config, _ = pick({"preset": name})
        assert (config.dropout > 0, config.weight_decay > 0) == (drops, True)


def test_small_presets_read_pieces_of_words_and_large_ones_characters() -> None:
    picked = {name: pick({"preset": name})[0] for name in PRESETS}
    assert {name: config.tokenizer for name, config in picked.items()} == {
        "tiny": "bpe",
        "small": "bpe",
        "medium": "char",
        "large": "char",
    }


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"n_embd": 128}, (128, 2)),
        ({"n_embd": 64}, (64, 1)),
        ({"n_embd": 48}, (48, 3)),  # 64 does not divide it, nor does 32
        ({"n_head": 4}, (128, 4)),
        ({"n_head": 4, "n_embd": 64}, (64, 4)),
    ],
)
@pytest.mark.parametrize("seconds", [3.0, 10.0])
def test_a_width_that_is_given_gets_heads_that_fit_however_fast_the_machine_is(
    options: dict[str, Any], expected: tuple[int, int], seconds: float
) -> None:
    config, _ = pick(options | {"precision": "float32"}, seconds, Clock(seconds=0.02))
    assert (config.n_embd, config.n_head) == expected


@pytest.mark.parametrize("block_size", [1, 16, 100, 256])
def test_a_context_that_is_given_is_taken_however_fast_the_machine_is(block_size: int) -> None:
    for seconds in (3.0, 10.0, 300.0):
        config, _ = pick({"block_size": block_size, "precision": "float32"}, seconds, Clock(seconds=0.02))
        assert config.block_size == block_size


@pytest.mark.parametrize("short", [1, 48, 64, 128])
@pytest.mark.parametrize("preset", ["auto", "small"])
def test_a_short_context_that_is_given_is_taken_however_fast_the_machine_is(short: int, preset: str) -> None:
    for seconds in (3.0, 10.0, 300.0):
        options = {"preset": preset, "short_context": short, "precision": "float32"}
        config, _ = pick(options, seconds, Clock(seconds=0.02))
        assert config.short_context == short
        assert config.block_size % short == 0


@pytest.mark.parametrize("preset", ["auto", *PRESETS])
@pytest.mark.parametrize("processes", [1, 3, 4])
def test_several_processes_can_share_the_batch_that_is_chosen(processes: int, preset: str) -> None:
    options = {"preset": preset, "precision": "float32"}
    for seconds in (3.0, 10.0, 300.0):
        config, _ = autoconfigure(options, "cpu", seconds, Clock(seconds=0.02), 1, processes)
        assert config.batch_size % processes == 0
        assert config.processes == processes


def test_a_device_that_reads_more_in_a_step_gets_a_larger_model_and_larger_batches(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(autoconfig, "measure_step_seconds", lambda config, clock: 0.003)
    picked = {name: autoconfigure({"precision": "bf16"}, name, 300.0, Clock())[0] for name in ("cpu", "mps", "cuda")}
    assert [config.preset for config in picked.values()] == ["small", "small", "medium"]
    assert autoconfigure({"precision": "bf16"}, "cuda", 3.0, Clock())[0].batch_size > 12


def test_auto_times_a_model_with_the_vocabulary_that_is_asked_for() -> None:
    options = {"device": "cpu", "precision": "float32", "arch": "modern", "tokenizer": "bpe"}
    assert autoconfig.probe_config(options).vocab_size == autoconfig.PROBE_SYMBOLS + DEFAULT_MERGES
    assert autoconfig.probe_config(options | {"vocab_size": 5000}).vocab_size == 5000


def test_auto_reports_nothing_if_all_sizes_are_given() -> None:
    sizes = {"n_layer": 1, "n_embd": 32, "block_size": 16, "batch_size": 4}
    assert pick(sizes, 10.0)[1] == ""


def test_auto_says_whether_a_model_reads_pieces_of_words_which_the_largest_does_not() -> None:
    picked = [
        pick({"precision": "float32"}, preset.min_steps * PROBE_CLOCK_SECONDS, Clock()) for preset in AUTO_PRESETS
    ]
    tokenizers = [config.tokenizer for config, _ in picked]
    assert tokenizers == sorted(tokenizers), "first bpe, then char"
    assert set(tokenizers) == {"bpe", "char"}
    for config, why in picked:
        assert (config.vocab_size > DEFAULT_MERGES) == (config.tokenizer == "bpe")
        assert ("auto: pieces of words, " if config.tokenizer == "bpe" else "auto: characters, ") in why


@pytest.mark.parametrize(
    "options", [{"tokenizer": "char"}, {"tokenizer": "bpe"}, {"tokenizer": "bpe", "vocab_size": 700}]
)
@pytest.mark.parametrize("seconds", [3.0, 1e6])
def test_a_tokenizer_that_is_given_is_taken_however_little_time_there_is(
    seconds: float, options: dict[str, Any]
) -> None:
    config, _ = pick(options | {"precision": "float32"}, seconds, Clock(seconds=0.02))
    assert (config.tokenizer, config.vocab_size) == (options["tokenizer"], options.get("vocab_size", config.vocab_size))
    assert (config.vocab_size > DEFAULT_MERGES) == (config.tokenizer == "bpe")


@pytest.mark.parametrize("n_symbols", [2, 90, 300, 5_000])
def test_the_tokens_of_a_preset_are_so_many_more_than_the_corpus_has_characters(n_symbols: int) -> None:
    corpus = Corpus("a text", "", "".join(map(chr, range(0x4E00, 0x4E00 + n_symbols))) * 10)
    for preset, merges in (("tiny", 256), ("small", 512), ("medium", 256), ("large", 256)):
        options = {"preset": preset, "tokenizer": "bpe", "precision": "float32"}
        config, _ = autoconfigure(options, "cpu", 60.0, Clock(), corpus=corpus)
        assert config.vocab_size == n_symbols + merges


@pytest.mark.parametrize("preset", ["auto", *PRESETS])
def test_a_vocabulary_size_that_is_given_means_pieces_of_words(preset: str) -> None:
    options = {"vocab_size": 700, "precision": "float32", "preset": preset}
    for seconds in (3.0, 1e6):
        config, _ = pick(options, seconds, Clock(seconds=0.02))
        assert (config.tokenizer, config.vocab_size) == ("bpe", 700)
    with pytest.raises(OptionError, match="vocab_size is for the tokenizer bpe"):
        pick(options | {"tokenizer": "char"}, 3.0, Clock(seconds=0.02))


@pytest.mark.parametrize(
    ("text", "suits"),
    [
        ("To be, or not to be.\n" * 2381, True),  # 50,001 characters
        ("To be, or not to be.\n" * 2380, False),
        ("".join(map(chr, range(0x4E00, 0x4E00 + 256))) * 200, True),
        ("".join(map(chr, range(0x4E00, 0x4E00 + 257))) * 200, False),  # as Chinese has thousands
    ],
)
def test_a_text_that_is_short_or_has_more_symbols_than_an_alphabet_is_taken_in_characters(
    text: str, suits: bool, tmp_path: Path
) -> None:
    corpus = Corpus("a text", "", text)
    assert suits_pieces(corpus) == suits
    config, why = autoconfigure({"precision": "float32"}, "cpu", 3.0, Clock(seconds=0.02), corpus=corpus)
    assert config.tokenizer == ("bpe" if suits else "char")
    assert ("pieces of words" in why) == suits
    path = tmp_path / "text.txt"
    path.write_text(text, encoding="utf-8")
    options = {
        "corpus": str(path),
        "minutes": 0.05,
        "n_layer": 1,
        "n_embd": 32,
        "device": "cpu",
        "out": tmp_path / "run",
    }
    trained, _ = read_config(start_training(options, RunClock()))
    assert trained.tokenizer == config.tokenizer, "the command looks at the text, too"


def test_a_gpt2_has_the_whole_context_from_the_start_since_its_verses_end_there() -> None:
    gpt2, modern = (pick({"preset": "auto", "arch": arch}, 10.0)[0] for arch in ("gpt2", "modern"))
    assert gpt2.block_size == modern.block_size == 256
    assert context_length(0, 100, gpt2) == 256
    assert context_length(0, 100, modern) < 256


def test_with_adamw_a_wider_model_learns_more_slowly_and_with_muon_it_need_not() -> None:
    for optimizer, distinct in (("adamw", 3), ("muon", 1)):
        names = ("small", "medium", "large")
        rates = [pick({"preset": name, "optimizer": optimizer})[0].learning_rate for name in names]
        assert rates == sorted(rates, reverse=True)
        assert len(set(rates)) == distinct


def test_an_unknown_preset_is_refused_with_those_there_are() -> None:
    with pytest.raises(OptionError, match="tiny, small, medium, large"):
        pick({"preset": "huge"})
