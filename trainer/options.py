"""From what was typed to a run: what goes together, and what stands for what was left out."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from trainer import corpus
from trainer import device as machine
from trainer.config import DEFAULT_MINUTES, MAX_STEPS, PRESETS
from trainer.errors import OptionError
from trainer.plan import plan_steps, read_plan
from trainer.runtime.autoconfig import choose
from trainer.runtime.distributed import gather
from trainer.runtime.run import Run, corpus_changed, read_config
from trainer.text import wrapped
from trainer.train import resume, train

# Settings that were chosen for another one: where that is given anew, they are chosen anew.
FOLLOWERS = {
    "preset": {*asdict(PRESETS["small"]), "batch_size", "short_context", "learning_rate", "beta1", "decay_fraction"},
    "optimizer": {"learning_rate"},
    "arch": {"short_context"},
    "block_size": {"short_context"},
    "n_embd": {"n_head"},
    "tokenizer": {"vocab_size"},
}
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
        moved = given.pop("corpus", None)
        if given:
            raise OptionError(f"--resume follows what the run's folder says: leave {_option(*min(given.items()))} away")
        device = machine.find_device(read_config(Run(folder))[0].device)
        with gather(device) as team:
            return resume(folder, moved, team=team)
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
    if plan_from is not None and plan_from.is_dir():
        given = repeated(plan_from, given)
    given = {"corpus": corpus.DEFAULT, "early_stop": plan_from is None, **given}
    device = machine.find_device(given.pop("device", "auto"))
    seconds = None if minutes is None else 60 * minutes
    with gather(device) as team:
        threads = machine.count_threads()
        config, why = team.agree(choose(given, device, seconds, time.monotonic, threads, team.size))
        if why and team.leads:
            print(wrapped(why), flush=True)
        return train(config, out, plan, minutes or 0.0, started, team=team)


def repeated(folder: Path, given: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a run whose plan is repeated, but for those that are given, and what goes with these.

    Raises:
        RunError, OptionError: it is no run, its text is another one now, or the settings cannot go together.
    """
    config, text = read_config(Run(folder))
    if given.get("preset") == "auto":
        raise OptionError("--preset auto goes by the time there is, and a plan says how many steps: name a preset")
    if "corpus" not in given and corpus.load(config.corpus).sha256 != text["sha256"]:
        raise corpus_changed(text["name"], folder)
    settings = config.to_dict()
    anew = {name for name, value in given.items() if name == "preset" or value != settings[name]}
    unwanted = {follower for name in anew for follower in FOLLOWERS.get(name, ())}
    return {name: value for name, value in settings.items() if name not in unwanted} | {"early_stop": False, **given}


def _option(name: str, value: Any) -> str:
    return f"--{'no-' if value is False else ''}{name.replace('_', '-')}"
