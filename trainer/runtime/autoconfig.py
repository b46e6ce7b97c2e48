"""What stands for the options that were left out: by the device, by how fast a step is there, by the time there is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch

from trainer import rng
from trainer.config import (
    BASE_WIDTH,
    BATCH_TOKENS,
    PRESETS,
    RATES,
    SHORT_CONTEXT,
    Preset,
    TrainConfig,
    with_vocab_size,
)
from trainer.errors import OptionError
from trainer.model import new_model
from trainer.optim import make_optimizers, update
from trainer.runtime.budget import Clock
from trainer.text import counted
from trainer.verse.config import HEAD_WIDTHS

PRODUCT_SIZE = 256  # of the matrices whose products are timed
PRODUCTS = 20
GAIN = 0.8  # of float32's time: if bf16 takes more, it is not worth its digits
SYMBOLS = 65  # of the model whose steps are timed, if it reads characters: as many as both corpora have
STEP_TOKENS = BATCH_TOKENS["cpu"] // 2  # of its steps on a processor
SIZES = {"n_layer", "n_embd", "block_size", "batch_size"}  # where all are given, nothing is worth telling
STEPS = 2  # timed; the fastest counts, since others only disturb


@dataclass(frozen=True)
class Rung:
    """A model that gets furthest with so much time."""

    steps: int  # of a small model, each of `STEP_TOKENS`, that the time must have room for
    preset: str
    settings: Mapping[str, Any]  # that differ from the preset's and the usual ones


HASTE = {"learning_rate": 0.03, "momentum": 0.85, "beta1": 0.8, "decay_fraction": 0.5}  # better below a thousand steps
RUNGS = (  # NOTES.md has the measurements, all of them on processors; other devices get there by tokens read
    Rung(0, "tiny", {"n_head": 3, "n_embd": 96, "block_size": 64, "short_context": 32, "batch_size": 12} | HASTE),
    Rung(300, "tiny", {"n_layer": 3, "n_head": 3, "n_embd": 96, "block_size": 128, "batch_size": 6} | HASTE),
    Rung(1_500, "small", {"block_size": 128}),
    Rung(10_000, "small", {}),
    Rung(200_000, "medium", {}),
)


def choose(
    options: Mapping[str, Any],
    device: str,
    seconds: float | None,
    clock: Clock,
    threads: int = 1,
    processes: int = 1,
) -> tuple[TrainConfig, str]:
    """Fill in what was not asked for.

    Args:
        options: fields of `TrainConfig` by name, None where the choice is ours; `preset` may be "auto".
        device: where the run will happen.
        seconds: there are for it, None if it is given in steps.
        clock: to time products and steps.
        threads: of the processor.
        processes: that will share each batch.

    Returns:
        the config, and a sentence that says what was chosen and why, if anything was.

    Raises:
        OptionError, ConfigError: something is outside its bounds.
    """
    given = {name: value for name, value in options.items() if value is not None}
    given |= {"device": device, "processes": processes}
    given = {"threads": threads, "optimizer": TrainConfig.optimizer, "arch": TrainConfig.arch, **given}
    if "precision" not in given:
        given["precision"] = best_precision(device, threads, clock)
    name, why = given.pop("preset", "auto"), ""
    settings: dict[str, Any] = {}
    if name == "auto":
        rung, why = best_rung(given, seconds, clock)
        name, settings = rung.preset, dict(rung.settings)
        unwanted = []  # what goes with a choice that was not made
        if "block_size" in given or given["arch"] == "gpt2":  # a gpt2 writes no verse longer than its context
            unwanted += ["block_size", "short_context", "batch_size"]
        if "n_embd" in given or "n_head" in given:
            unwanted += ["n_embd", "n_head"]
        if given["optimizer"] == "adamw":
            unwanted += ["learning_rate"]
        if device != "cpu":
            unwanted += ["batch_size"]  # a graphics card reads more at once in the same time
        settings = {key: value for key, value in settings.items() if key not in unwanted}
        if given.keys() >= SIZES:
            why = ""
    if name not in PRESETS:
        raise OptionError(f"preset must be auto or one of {', '.join(PRESETS)}, not {name!r}")
    fields = asdict(PRESETS[name]) | settings | with_vocab_size(given)
    if "n_embd" in given and "n_head" not in given:
        fields["n_head"] = heads(fields["n_embd"], PRESETS[name])
    short = given.get("short_context", 0)
    if short > 0 and "block_size" not in given:
        fields["block_size"] = max(1, fields["block_size"] // short) * short
    block_size, tokens = fields["block_size"], BATCH_TOKENS[device]
    if device == "cpu":  # the optimizer's part of a step grows with the weights alone
        tokens = tokens * max(BASE_WIDTH, fields["n_embd"]) // BASE_WIDTH
    if "batch_size" not in given:
        batch_size = fields.get("batch_size", max(4, tokens // block_size))
        fields["batch_size"] = -(-batch_size // processes) * processes
    if given["arch"] == "modern" and block_size > SHORT_CONTEXT and block_size % SHORT_CONTEXT == 0:
        fields.setdefault("short_context", SHORT_CONTEXT)  # a gpt2 would learn its later positions in half the time
    rate = RATES[fields["optimizer"]]
    if fields["optimizer"] == "adamw":
        rate *= (BASE_WIDTH / fields["n_embd"]) ** 0.5
    fields.setdefault("learning_rate", rate)
    config = TrainConfig(**fields, preset=name)
    chosen = (
        f"auto: {counted(config.n_layer, 'layer')} of width {config.n_embd}, context {config.block_size}, "
        f"{config.batch_size} sequences a step, products in {config.precision}: {why}"
    )
    return config, chosen if why else ""


def heads(n_embd: int, preset: Preset) -> int:
    """As many as make each as wide as the preset's; or, where that cannot be, as wide as may be below that.

    Raises:
        OptionError: no head that a verse may have fits into such a width.

    >>> heads(64, PRESETS["small"]), heads(48, PRESETS["small"]), heads(64, PRESETS["medium"])
    (2, 3, 1)
    """
    widest = preset.n_embd // preset.n_head
    fitting = [width for width in HEAD_WIDTHS if width <= widest and n_embd % width == 0]
    if not fitting or n_embd < 1:
        raise OptionError(f"n_embd must be a multiple of {min(HEAD_WIDTHS)}, the least width of a head, not {n_embd}")
    return n_embd // max(fitting)


def best_precision(device: str, threads: int, clock: Clock) -> str:
    """ "bf16" where its products are clearly faster than float32's, as on a graphics card or a recent processor."""
    if device == "mps":
        return "float32"  # nobody has measured it there for this trainer
    if device == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported() else "float32"
    torch.set_num_threads(threads)

    def fastest(dtype: torch.dtype) -> float:
        x = torch.ones(PRODUCT_SIZE, PRODUCT_SIZE, dtype=dtype)
        x @ x  # loads its kernel
        times = []
        for _ in range(PRODUCTS):
            began = clock()
            x @ x
            times.append(clock() - began)
        return min(times)

    return "bf16" if fastest(torch.bfloat16) < GAIN * fastest(torch.float32) else "float32"


def best_rung(given: Mapping[str, Any], seconds: float | None, clock: Clock) -> tuple[Rung, str]:
    """The model for this device and time, and why."""
    if seconds is None:
        return (RUNGS[2] if given["device"] == "cpu" else RUNGS[-1]), f"the usual for {given['device']}"
    config = probe(given)
    step = step_seconds(config, clock)
    steps, tokens = seconds / step, config.batch_size * config.block_size
    rung = [rung for rung in RUNGS if rung.steps * STEP_TOKENS <= steps * tokens][-1]
    return rung, f"a small model would take {1000 * step:.3g} ms a step here, and make {steps:,.0f} in this time"


def probe(given: Mapping[str, Any]) -> TrainConfig:
    """The small model with a short context, whose steps are timed."""
    names = ("device", "precision", "optimizer", "arch", "threads", "tokenizer", "vocab_size")
    return TrainConfig(
        **{name: value for name, value in with_vocab_size(given).items() if name in names},
        block_size=SHORT_CONTEXT,
        batch_size=BATCH_TOKENS[given["device"]] // (2 * SHORT_CONTEXT),
    )


def step_seconds(config: TrainConfig, clock: Clock) -> float:
    """How long a step takes here, at its fastest."""
    key, symbols = rng.seed_key(config.seed), config.vocab_size or SYMBOLS
    torch.set_num_threads(config.threads)
    model = new_model(config.model(symbols), key, precision=config.precision).to(config.device)
    optimizers = make_optimizers(model, config)
    shape = (config.batch_size, config.block_size + 1)
    tokens = torch.from_numpy(rng.below(key, "probe", 0, symbols, shape[0] * shape[1]).reshape(shape)).to(config.device)
    times = []
    for count in range(1, STEPS + 2):
        began = clock()
        update(model, optimizers, tokens[:, :-1], tokens[:, 1:], 0.0, config.grad_clip, count).item()
        times.append(clock() - began)
    return max(1e-9, min(times[1:]))  # the first loads kernels
