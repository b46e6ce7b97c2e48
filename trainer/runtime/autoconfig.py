"""Automatic settings: fill in options that were not given, by the device, its measured speed and the time."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch

from trainer import rng
from trainer.config import (
    BASE_WIDTH,
    BATCH_TOKENS,
    PRESETS,
    RATES,
    Preset,
    TrainConfig,
    with_vocab_size,
)
from trainer.corpus import Corpus
from trainer.device import configure_device
from trainer.errors import OptionError
from trainer.model import new_model
from trainer.optim import make_optimizers
from trainer.runtime.budget import rehearse_step
from trainer.runtime.clock import Clock
from trainer.runtime.gradients import gradient_function
from trainer.runtime.threads import describe_threads, faster_threads, time_threads
from trainer.text import pluralize
from trainer.verse.config import HEAD_WIDTHS

PRODUCT_SIZES = {"cpu": 256, "cuda": 2048}  # rows and columns of the matrices whose products are timed
PRODUCTS = 20
MIN_PRODUCTS = 3  # timed, where bf16 is emulated and takes many times as long
NATIVE_BF16 = (8, 0)  # CUDA's compute capability; an older card claims to support bf16, and emulates it slowly
MAX_BF16_TIME = 0.8  # of float32's time: a smaller gain is not worth the lost precision
PROBE_SYMBOLS = 65  # characters of the model whose steps are timed: those of both corpora
MIN_CHARACTERS = 50_000  # of a text from which pieces of words are learned
MAX_SYMBOLS = 256  # of such a text: alphabets have fewer, Chinese has more
PROBE_CONTEXT = 64  # tokens
PROBE_TOKENS = BATCH_TOKENS["cpu"] // 2  # of one of its steps on a CPU
SIZES = {"n_layer", "n_embd", "block_size", "batch_size"}  # if all are given, no choice is reported
PROBE_LAYERS = 1  # its operations are as large as those of a deeper model, and it takes less time
PROBE_STEPS = 2  # timed; the fastest counts, since other programs only slow a step down


@dataclass(frozen=True)
class AutoPreset:
    """The model with the lowest loss for one range of time."""

    min_steps: int  # of the model that is timed, each of `PROBE_TOKENS`, that must fit into the time
    preset: str
    settings: Mapping[str, Any]  # that differ from the preset's and the defaults


SHORT_RUN = {"learning_rate": 0.04, "momentum": 0.85, "beta1": 0.8, "decay_fraction": 0.5}  # below half a minute
FEW_SEQUENCES = {"batch_size": 3}
STRONG_DECAY = {"weight_decay": 0.2}  # decay x learning rate x steps is 10 to 20 where it was best
MANY_PASSES = {"dropout": 0.1}  # over the text, which the model would learn by heart
AUTO_PRESETS = (  # measured on CPUs, see NOTES.md; other devices are compared by the tokens they read
    AutoPreset(0, "tiny", {"n_layer": 1, "n_head": 2, "n_embd": 64} | FEW_SEQUENCES | SHORT_RUN),
    AutoPreset(500, "tiny", {"n_layer": 1, "n_head": 3, "n_embd": 96} | FEW_SEQUENCES | SHORT_RUN),
    AutoPreset(1_700, "tiny", {"n_layer": 1, "n_head": 4, "batch_size": 4} | STRONG_DECAY),
    AutoPreset(3_000, "tiny", {"n_layer": 2, "n_head": 4, "batch_size": 4} | STRONG_DECAY),
    AutoPreset(6_000, "small", {"n_layer": 3, "batch_size": 4, "short_context": 64} | STRONG_DECAY),
    AutoPreset(9_500, "small", STRONG_DECAY),
    AutoPreset(40_000, "small", STRONG_DECAY | MANY_PASSES),
    AutoPreset(80_000, "small", MANY_PASSES),
    AutoPreset(250_000, "small", {"weight_decay": 0.03} | MANY_PASSES),
    AutoPreset(660_000, "medium", {}),
)


def autoconfigure(
    options: Mapping[str, Any],
    device: str,
    seconds: float | None,
    clock: Clock,
    max_threads: int = 1,
    processes: int = 1,
    corpus: Corpus | None = None,
) -> tuple[TrainConfig, str]:
    """Fill in the settings that were not given.

    Args:
        options: Fields of `TrainConfig` by name, None for those to choose; `preset` may be "auto".
        device: Where the run will happen.
        seconds: The time for it; None if the run is given in steps.
        clock: Times products and steps.
        max_threads: CPU threads of each process. One process on the CPU takes a single thread if that is faster now.
        processes: That will share each batch.
        corpus: Decides about the tokenizer; None: pieces of words suit it.

    Returns:
        The config, and sentences that say what was chosen and why; "" if nothing was.

    Raises:
        OptionError: A value is out of bounds.
        ConfigError: No such model could be submitted.
    """
    requested = {name: value for name, value in options.items() if value is not None}
    requested |= {"device": device, "processes": processes}
    requested = {"optimizer": TrainConfig.optimizer, "arch": TrainConfig.arch, **requested}
    if "vocab_size" in requested:
        requested.setdefault("tokenizer", "bpe")
    elif corpus is not None and not suits_pieces(corpus):
        requested.setdefault("tokenizer", "char")
    chooses_precision = "precision" not in requested
    if chooses_precision:
        requested["precision"] = best_precision(device, clock)
    thread_note, step_seconds = "", None
    if "threads" not in requested:
        requested["threads"] = max_threads
        if device == "cpu" and processes == 1 and max_threads > 1:
            requested["threads"], step_seconds = choose_threads(requested, clock)
            if requested["threads"] < max_threads:
                thread_note = describe_threads(requested["threads"], max_threads)
    name, reason = requested.pop("preset", "auto"), ""
    preset_settings: dict[str, Any] = {}
    if name == "auto":
        choice, reason = choose_preset(requested, seconds, clock, step_seconds)
        name, preset_settings = choice.preset, dict(choice.settings)
        dropped = []  # settings that depend on a choice which was not made
        if "block_size" in requested or requested["arch"] == "gpt2" or device != "cpu":
            dropped += ["batch_size"]  # a graphics card reads more at once in the same time
        if "n_embd" in requested or "n_head" in requested:
            dropped += ["n_embd", "n_head"]
        if requested["optimizer"] == "adamw":
            dropped += ["learning_rate"]
        preset_settings = {key: value for key, value in preset_settings.items() if key not in dropped}
        if requested.keys() >= SIZES:
            reason = ""
    if name not in PRESETS:
        raise OptionError(f"preset must be auto or one of {', '.join(PRESETS)}, not {name!r}")
    settings = asdict(PRESETS[name]) | preset_settings
    settings = with_vocab_size(settings | requested, len(corpus.symbols) if corpus else PROBE_SYMBOLS)
    if "n_embd" in requested and "n_head" not in requested:
        settings["n_head"] = choose_n_head(settings["n_embd"], PRESETS[name])
    short_context = requested.get("short_context", 0)
    if short_context > 0 and "block_size" not in requested:
        settings["block_size"] = max(1, settings["block_size"] // short_context) * short_context
    block_size, tokens = settings["block_size"], BATCH_TOKENS[device]
    if device == "cpu":  # the optimizer's part of a step grows with the weights alone
        tokens = tokens * max(BASE_WIDTH, settings["n_embd"]) // BASE_WIDTH
    if "batch_size" not in requested:
        batch_size = settings.get("batch_size", max(4, tokens // block_size))
        settings["batch_size"] = -(-batch_size // processes) * processes
    if "short_context" not in requested:
        short = settings["short_context"]  # with it, a gpt2 would train its later positions for less time
        fits = requested["arch"] == "modern" and block_size > short and block_size % short == 0
        settings["short_context"] = short if fits else 0
    rate = RATES[settings["optimizer"]]
    if settings["optimizer"] == "adamw":
        rate *= (BASE_WIDTH / settings["n_embd"]) ** 0.5
    settings.setdefault("learning_rate", rate)
    config = TrainConfig(**settings, preset=name)
    if chooses_precision and device == "cpu" and config.n_embd < BASE_WIDTH:
        config = replace(config, precision="float32")  # conversions take as long as bf16 saves
    summary = (
        f"auto: {'characters' if config.tokenizer == 'char' else 'pieces of words'}, "
        f"{pluralize(config.n_layer, 'layer')} of width {config.n_embd}, context {config.block_size}, "
        f"{config.batch_size} sequences per step, products in {config.precision}: {reason}"
    )
    return config, "\n".join(sentence for sentence in (summary if reason else "", thread_note) if sentence)


def suits_pieces(corpus: Corpus) -> bool:
    """Whether pieces of words suit a text: it is long enough to learn them from, and written in an alphabet."""
    return len(corpus.text) >= MIN_CHARACTERS and len(corpus.symbols) <= MAX_SYMBOLS


def choose_n_head(n_embd: int, preset: Preset) -> int:
    """Return the number of heads that makes each as wide as the preset's, or as wide as possible below that.

    Raises:
        OptionError: No allowed head width divides this width.

    >>> choose_n_head(64, PRESETS["small"]), choose_n_head(48, PRESETS["small"]), choose_n_head(64, PRESETS["medium"])
    (2, 3, 1)
    """
    preset_width = preset.n_embd // preset.n_head
    widths = [width for width in HEAD_WIDTHS if width <= preset_width and n_embd % width == 0]
    if not widths or n_embd < 1:
        raise OptionError(f"n_embd must be a multiple of {min(HEAD_WIDTHS)}, the least width of a head, not {n_embd}")
    return n_embd // max(widths)


def best_precision(device: str, clock: Clock) -> str:
    """Return "bf16" if its products are clearly faster than float32's on this device, else "float32"."""
    if device == "mps":
        return "float32"  # bf16 was never measured on mps
    if device == "cuda" and torch.cuda.get_device_capability() < NATIVE_BF16:
        return "float32"
    configure_device(device, threads=1)  # another program cannot disturb one thread much

    def fastest(dtype: torch.dtype, patience: float) -> float:
        size = PRODUCT_SIZES[device]
        x = torch.ones(size, size, dtype=dtype, device=device)
        (x @ x)[0, 0].item()  # loads its kernel
        times: list[float] = []
        while len(times) < PRODUCTS and (len(times) < MIN_PRODUCTS or sum(times) < patience):
            start = clock()
            (x @ x)[0, 0].item()  # waits until the device has finished
            times.append(clock() - start)
        return min(times)

    float32 = fastest(torch.float32, math.inf)
    return "bf16" if fastest(torch.bfloat16, 2 * PRODUCTS * float32) < MAX_BF16_TIME * float32 else "float32"


def choose_preset(
    settings: Mapping[str, Any], seconds: float | None, clock: Clock, step_seconds: float | None = None
) -> tuple[AutoPreset, str]:
    """Return the model for this device and time, and the reason.

    Args:
        settings: Fields of `TrainConfig` by name, the device among them.
        seconds: The time; None if the run is given in steps.
        clock: Times the steps.
        step_seconds: Time of a step of the model of one layer; None if it was not measured yet.
    """
    if seconds is None:
        choice = AutoPreset(0, "small", {}) if settings["device"] == "cpu" else AUTO_PRESETS[-1]
        return choice, f"the default for {settings['device']}"
    config = probe_config(settings)
    step_seconds = step_seconds or measure_step_seconds(config, clock)
    steps, tokens = seconds / step_seconds, config.batch_size * config.block_size
    choice = [preset for preset in AUTO_PRESETS if preset.min_steps * PROBE_TOKENS <= steps * tokens][-1]
    shown = f"{step_seconds:,.1f} s" if step_seconds >= 1 else f"{1000 * step_seconds:.3g} ms"
    reason = f"a step of a model of one layer takes {shown} here, so the time is enough for {steps:,.0f}"
    return choice, reason


def probe_config(settings: Mapping[str, Any]) -> TrainConfig:
    """Return the model of one layer with a short context whose steps are timed."""
    names = ("device", "precision", "optimizer", "arch", "threads", "tokenizer", "vocab_size")
    return TrainConfig(
        **{name: value for name, value in with_vocab_size(settings, PROBE_SYMBOLS).items() if name in names},
        n_layer=PROBE_LAYERS,
        block_size=PROBE_CONTEXT,
        batch_size=BATCH_TOKENS[settings["device"]] // (2 * PROBE_CONTEXT),
    )


def choose_threads(settings: Mapping[str, Any], clock: Clock) -> tuple[int, float]:
    """Return one thread or all of them, whichever makes a step of a model of one layer faster now, and its seconds.

    Args:
        settings: Fields of `TrainConfig` by name; `threads` is the number of all.
        clock: Times the steps.
    """
    seconds = time_threads(make_probe(probe_config(settings)), {1, settings["threads"]}, clock)
    threads = faster_threads(seconds, settings["threads"])
    return threads, seconds[threads]


def measure_step_seconds(config: TrainConfig, clock: Clock) -> float:
    """Return the time of the fastest of a few steps."""
    step, times = make_probe(config), []
    torch.set_num_threads(config.threads)
    for _ in range(PROBE_STEPS + 1):
        start = clock()
        step()
        times.append(clock() - start)
    return max(1e-9, min(times[1:]))  # the first loads kernels


def make_probe(config: TrainConfig) -> Callable[[], float]:
    """Return a function that runs one step of a new model, which learns nothing, and returns the loss."""
    key, symbols = rng.seed_key(config.seed), config.vocab_size or PROBE_SYMBOLS
    model = new_model(config.model(symbols), key, precision=config.precision).to(config.device)
    optimizers = make_optimizers(model, config)
    shape = (config.batch_size, config.block_size + 1)
    tokens = torch.from_numpy(rng.below(key, "probe", 0, symbols, shape[0] * shape[1]).reshape(shape)).to(config.device)
    compute_gradients = gradient_function(model, config)
    return lambda: rehearse_step(compute_gradients, optimizers, tokens[:, :-1], tokens[:, 1:], 1).item()
