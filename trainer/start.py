"""From what was typed to a run: what goes together, and what stands for what was left out."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trainer import corpus, machine
from trainer.auto import choose
from trainer.config import DEFAULT_MINUTES, MAX_STEPS, TrainConfig, with_vocab_size
from trainer.errors import OptionError
from trainer.plan import plan_steps, read_plan
from trainer.run import Run, corpus_changed, read_config
from trainer.together import gather
from trainer.train import resume, train
from trainer.wording import wrapped

MIN_MINUTES, MAX_MINUTES = 0.05, 7 * 24 * 60.0  # three seconds, since torch alone takes one to load; a week


def start(options: Mapping[str, Any], started: float) -> Run:
    """Do what `trainer train` was asked to do.

    Args:
        options: the command's options by name, None where one was not given.
        started: when the command was given, by `time.monotonic`.

    Raises:
        OptionError: they do not go together. And as `train`.
    """
    given = {name: value for name, value in options.items() if value is not None}
    folder = given.pop("resume", None)
    if folder is not None:
        if given:
            raise OptionError(f"--resume follows what the run's folder says: leave {_option(min(given))} away")
        device = machine.find_device(read_config(Run(folder))[0].device)
        with gather(device) as team:
            return resume(folder, team=team)
    out, plan_from = given.pop("out", None), given.pop("plan", None)
    minutes, steps = given.pop("minutes", None), given.pop("steps", None)
    if sum(value is not None for value in (plan_from, minutes, steps)) > 1:
        raise OptionError("give one of --minutes, --steps and --plan: each says how long to train")
    if minutes is not None and not MIN_MINUTES <= minutes <= MAX_MINUTES:
        raise OptionError(f"--minutes must be {MIN_MINUTES:g} to {MAX_MINUTES:g}, not {minutes:g}")
    if steps is not None and not 1 <= steps <= MAX_STEPS:
        raise OptionError(f"--steps must be 1 to {MAX_STEPS:,}, not {steps:,}")
    plan = read_plan(plan_from) if plan_from else plan_steps(steps) if steps else None
    if plan is None and minutes is None:
        minutes = DEFAULT_MINUTES
    device = machine.find_device(given.pop("device", "auto"))
    with gather(device) as team:
        config, why = team.agree(_config(given, device, plan_from, minutes))
        if why and team.leads:
            print(wrapped(why), flush=True)
        return train(config, out, plan, minutes or 0.0, started, team=team)


def _config(
    given: Mapping[str, Any], device: str, plan_from: Path | None, minutes: float | None
) -> tuple[TrainConfig, str]:
    """All settings, and why. A run whose plan is repeated gives its own for those that were left out."""
    if plan_from is not None and plan_from.is_dir() and "preset" not in given:
        config, text = read_config(Run(plan_from))
        if "corpus" not in given and corpus.load(config.corpus).sha256 != text["sha256"]:
            raise corpus_changed(text["name"], plan_from)
        settings = config.to_dict()
        if given.get("tokenizer", settings["tokenizer"]) != settings["tokenizer"]:
            given = with_vocab_size(given)
        return TrainConfig.from_dict({**settings, "early_stop": False, **given, "device": device}), ""
    options = {"corpus": corpus.DEFAULT, "early_stop": plan_from is None, **given}
    seconds = None if minutes is None else 60 * minutes
    return choose(options, device, seconds, time.monotonic, machine.count_threads())


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"
