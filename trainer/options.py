"""Options of commands: how they are declared, and how those of `trainer train` become a run.

What loads torch is imported inside functions, so that `--help` stays fast.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from trainer.config import (
    DEFAULT_MERGES,
    DEFAULT_MINUTES,
    DEVICES,
    MAX_STEPS,
    OPTIMIZERS,
    PRECISIONS,
    PRESETS,
    TOKENIZERS,
)
from trainer.errors import OptionError
from trainer.verse.config import ARCHITECTURES

if TYPE_CHECKING:
    from trainer.runtime.clock import RunClock
    from trainer.runtime.run import Run

Command = Callable[..., None]
FOLDER = click.Path(path_type=Path)

# Settings that were chosen to fit another one: if that one is given, they are chosen again. A tokenizer is kept.
DEPENDENT_SETTINGS = {
    "preset": {*asdict(PRESETS["small"]), "batch_size", "short_context", "learning_rate", "beta1", "decay_fraction"}
    - {"tokenizer", "n_merges"},
    "optimizer": {"learning_rate"},
    "arch": {"short_context"},
    "block_size": {"short_context"},
    "n_embd": {"n_head"},
    "tokenizer": {"vocab_size"},
    "corpus": {"encoding", "strip_gutenberg"},
}
MIN_MINUTES, MAX_MINUTES = 0.05, 7 * 24 * 60.0  # three seconds, since torch alone takes one to load; a week

TRAIN_OPTIONS = [
    click.option(
        "--corpus",
        metavar="NAME|PATH",
        multiple=True,
        callback=lambda context, option, values: "\n".join(values) or None,
        help="A corpus's name, a text file, or a folder of .txt files; may be repeated.  [default: folio]",
    ),
    click.option(
        "--encoding", help="Encoding of the text files, such as cp1252.  [default: by their byte order mark, or UTF-8]"
    ),
    click.option(
        "--strip-gutenberg/--keep-gutenberg",
        default=None,
        help="Cut what Project Gutenberg puts around a book.  [default: keep it, out of the validation split]",
    ),
    click.option(
        "--preset",
        type=click.Choice([*PRESETS, "auto"]),
        help="Size of the model.  [default: auto, by device and time]",
    ),
    click.option("--arch", type=click.Choice(ARCHITECTURES), help="Architecture.  [default: modern]"),
    click.option(
        "--tokenizer",
        type=click.Choice(TOKENIZERS),
        help="Characters, or pieces of words.  [default: by preset, bpe for tiny and small; char for a text that is "
        "short or not in an alphabet]",
    ),
    click.option(
        "--vocab-size",
        type=int,
        metavar="N",
        help="Tokens of a bpe tokenizer, the characters of the text included.  [default: "
        f"{DEFAULT_MERGES} more than it has characters, {PRESETS['small'].n_merges} for small]",
    ),
    click.option(
        "--minutes", type=float, help=f"Time for the whole run, or the further round.  [default: {DEFAULT_MINUTES:g}]"
    ),
    click.option("--steps", type=int, help="Number of updates, instead of minutes."),
    click.option("--device", type=click.Choice(["auto", *DEVICES]), help="Where to train.  [default: auto]"),
    click.option("--batch-size", type=int, help="Sequences per step.  [default: by device and time]"),
    click.option("--block-size", type=int, help="Tokens of context.  [default: by preset]"),
    click.option(
        "--short-context",
        type=int,
        help="Tokens of context in the first half of the run, then twice as many in half of the rest, up to "
        "--block-size; 0 for --block-size throughout.  [default: 64, or 128 for small, if --block-size is a multiple "
        "of it; 0 for gpt2]",
    ),
    click.option("--optimizer", type=click.Choice(OPTIMIZERS), help="Optimizer.  [default: muon]"),
    click.option(
        "--learning-rate",
        type=float,
        help="Highest learning rate, after the warm-up.  [default: by optimizer and time]",
    ),
    click.option(
        "--weight-decay",
        type=float,
        help="Weight decay of matrices, multiplied by the learning rate at each step.  [default: by preset]",
    ),
    click.option("--dropout", type=float, help="Share of activations dropped.  [default: by preset]"),
    click.option(
        "--precision",
        type=click.Choice(PRECISIONS),
        help="Number format of large matrix products.  [default: the faster one]",
    ),
    click.option(
        "--compile/--no-compile",
        default=None,
        help="Compile the model before training, which takes up to a minute and makes each step faster. It needs a C++ "
        "compiler.  [default: if that is faster, on a CPU with at least twenty minutes]",
    ),
    click.option(
        "--early-stop/--no-early-stop",
        default=None,
        help="End the run when the validation loss of three evaluations in a row is far above the best.  "
        "[default: --early-stop, unless a plan is repeated]",
    ),
    click.option("--n-layer", type=int, help="Number of blocks.  [default: by preset]"),
    click.option("--n-head", type=int, help="Attention heads of a block.  [default: by preset]"),
    click.option("--n-embd", type=int, help="Width of the model.  [default: by preset]"),
    click.option("--seed", type=int, help="Seed of the initial weights and of the order of the data.  [default: 1337]"),
    click.option(
        "--event",
        metavar="URL|NONCE",
        help="Train for an event, here and today: its nonce, which it publishes when submissions open, and the secret "
        "that you submit with key the initial weights and the order of the data. Without a network, give the nonce.",
    ),
    click.option("--ticket", metavar="CODE", help="The code on your card, with --event, where it takes tickets."),
    click.option(
        "--ticket-file",
        type=FOLDER,
        metavar="FILE",
        help="File with the secret that you submit with.  [default: the one kept for the event]",
    ),
    click.option(
        "--race/--no-race",
        default=None,
        help="With --event: tell the event how far the training is, for the race on its stage, under a nickname.  "
        "[default: --race]",
    ),
    click.option(
        "--sample",
        is_flag=True,
        default=None,
        help="Also show the room two lines that the model writes at each evaluation. A verse that you submit is not "
        "shown.",
    ),
    click.option("--out", type=FOLDER, metavar="RUN", help="Folder of the run.  [default: a new one in runs/]"),
    click.option(
        "--resume",
        type=FOLDER,
        metavar="RUN",
        help="Resume a run, with its own settings and its written plan. With --minutes or --steps, train a finished "
        "run for a further round.",
    ),
    click.option(
        "--plan",
        type=FOLDER,
        metavar="RUN|FILE",
        help="Repeat the plan of a run, with the run's settings unless others are given; or a plan.json alone.",
    ),
]


def train_options(command: Command) -> Command:
    """Add the options of `trainer train`, each None if it is not given."""
    return _with_options(command, TRAIN_OPTIONS)


def recipe_options(*, many: bool = False) -> Callable[[Command], Command]:
    """Return a decorator that adds a checkpoint and a recipe, for every command that writes verses.

    Args:
        many: Let prompt and temperature be given several times.
    """
    temperatures = ("0.6", "0.8", "1.0") if many else "0.8"
    options = [
        click.option(
            "--ckpt",
            type=FOLDER,
            required=True,
            metavar="RUN|FILE",
            help="A run's folder (its best checkpoint), a checkpoint file, or a bundle.",
        ),
        click.option(
            "--prompt",
            multiple=many,
            default=("",) if many else "",
            help=f"Text to continue{'; may be repeated' if many else ''}.  [default: a line feed]",
        ),
        click.option(
            "--near",
            is_flag=True,
            help="Take the nearest characters that the model knows for those of the prompt that it does not."
            f"{'  [default with --html]' if many else ''}",
        ),
        click.option(
            "--temperature",
            multiple=many,
            default=temperatures,
            show_default=True,
            help=f"0 (greedy) to 2, at most two decimals{'; may be repeated' if many else ''}.",
        ),
        click.option(
            "--top-k", type=int, default=0, show_default=True, help="Choose among this many candidates; 0 for all."
        ),
        click.option(
            "--seed",
            type=int,
            default=0,
            show_default=True,
            help=f"{'First random seed' if many else 'Random seed'}, 0 to 4,294,967,295.",
        ),
        click.option(
            "--tokens", type=int, help="Maximum tokens to write.  [default: 400, or as many as the model can write]"
        ),
        click.option(
            "--lines", type=int, default=8, show_default=True, help="Lines to write; 0 to stop by --tokens alone."
        ),
    ]
    return lambda command: _with_options(command, options)


def _with_options(command: Command, options: Sequence[Callable[[Command], Command]]) -> Command:
    for option in reversed(options):
        command = option(command)
    return command


def start_training(options: Mapping[str, Any], clock: RunClock) -> Run:
    """Start, repeat or resume a run, as the options of `trainer train` say.

    Args:
        options: The command's options by name, None if one was not given.
        clock: Started when the command was given.

    Raises:
        OptionError: Options contradict each other or are out of bounds.
        TrainerError: The run is refused or fails.
    """
    from tqdm import tqdm

    from trainer.corpus import DEFAULT_CORPUS, load_corpus
    from trainer.device import count_threads, denormals_as_zero, find_device
    from trainer.plan import plan_for_steps, read_plan
    from trainer.runtime.autoconfig import autoconfigure
    from trainer.runtime.distributed import process_group
    from trainer.runtime.run import Run, read_config
    from trainer.text import wrap
    from trainer.train import resume, train

    settings = {name: value for name, value in options.items() if value is not None}
    folder, plan_from = settings.pop("resume", None), settings.pop("plan", None)
    minutes, steps = settings.pop("minutes", None), settings.pop("steps", None)
    if sum(value is not None for value in (plan_from, minutes, steps)) > 1:
        raise OptionError("give only one of --minutes, --steps and --plan: each says how long to train")
    if minutes is not None and not MIN_MINUTES <= minutes <= MAX_MINUTES:
        raise OptionError(f"--minutes must be {MIN_MINUTES:g} to {MAX_MINUTES:g}, not {minutes:g}")
    if steps is not None and not 1 <= steps <= MAX_STEPS:
        raise OptionError(f"--steps must be 1 to {MAX_STEPS:,}, not {steps:,}")
    plan = read_plan(plan_from) if plan_from else plan_for_steps(steps) if steps else None
    if folder is not None:
        corpus = settings.pop("corpus", None)
        if plan_from is not None:
            settings["plan"] = plan_from
        if settings:
            raise OptionError(
                f"--resume uses the settings and the folder of the run: leave out {_option(*min(settings.items()))}"
            )
        from trainer.submission.heartbeats import HEARTBEATS, Heartbeats

        device = find_device(read_config(Run(folder))[0].device)
        kept = Heartbeats(None) if (folder / HEARTBEATS).exists() else None
        with denormals_as_zero(), process_group(device) as ranks:
            return resume(folder, corpus, plan, minutes, clock, ranks, count_threads(), kept)
    event, ticket, ticket_file = (settings.pop(name, None) for name in ("event", "ticket", "ticket_file"))
    race, sample = settings.pop("race", None), settings.pop("sample", False)
    heartbeats, notice = None, ""
    if event is not None:
        from trainer.submission.event_key import join_event
        from trainer.submission.heartbeats import SAMPLE_NOTICE, Heartbeats

        if sample and race is False:
            raise OptionError("--sample shows lines in the race: leave out --no-race")
        joined = join_event(event, ticket, ticket_file)
        settings |= joined.settings
        if race is not False:
            heartbeats = Heartbeats(joined.target, with_samples=sample, say=tqdm.write)
        notice = SAMPLE_NOTICE if sample else ""
    elif ticket is not None or ticket_file is not None:
        raise OptionError("--ticket and --ticket-file need --event")
    elif race is not None or sample:
        raise OptionError("--race, --no-race and --sample need --event")
    out = settings.pop("out", None)
    if plan is None and minutes is None:
        minutes = DEFAULT_MINUTES
    if plan_from is not None and plan_from.is_dir():
        settings = repeat_settings(plan_from, settings)
    settings = {"corpus": DEFAULT_CORPUS, "early_stop": plan_from is None, **settings}
    device = find_device(settings.pop("device", "auto"))
    seconds = None if minutes is None else 60 * minutes
    with denormals_as_zero(), process_group(device) as ranks:
        threads = count_threads()
        corpus = load_corpus(settings["corpus"], settings.get("encoding", ""), settings.get("strip_gutenberg", False))
        automatic = autoconfigure(settings, device, seconds, clock.read, threads, ranks.size, corpus)
        config, choice = ranks.broadcast(automatic)
        if ranks.is_main and (texts := [text for text in (choice, notice) if text]):
            print(wrap("\n".join(texts)), flush=True)
        changeable = 1 if plan_from else threads  # a repeated plan says when the number of threads changes
        may_compile = "compile" not in settings
        return train(config, out, plan, minutes or 0.0, clock, ranks, changeable, may_compile, heartbeats, corpus)


def repeat_settings(folder: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a run to repeat. Those given replace its own; what depends on them is chosen again.

    Args:
        folder: The run's folder.
        settings: The settings given.

    Raises:
        RunError: It is not a run, or its corpus has changed.
        OptionError: The settings contradict each other.
    """
    from trainer.corpus import load_corpus
    from trainer.runtime.run import Run, corpus_changed, read_config

    config, corpus = read_config(Run(folder))
    if settings.get("preset") == "auto":
        raise OptionError("--preset auto chooses by the time, and a plan says how many steps: name a preset")
    is_same_text = not {"corpus", "encoding", "strip_gutenberg"} & settings.keys()
    loaded = load_corpus(config.corpus, config.encoding, config.strip_gutenberg) if is_same_text else None
    if loaded is not None and loaded.sha256 != corpus["sha256"]:
        raise corpus_changed(corpus["name"], folder)
    repeated = config.to_dict()
    changed = {name for name, value in settings.items() if name == "preset" or value != repeated[name]}
    dropped = {dependent for name in changed for dependent in DEPENDENT_SETTINGS.get(name, ())}
    return {name: value for name, value in repeated.items() if name not in dropped} | {"early_stop": False, **settings}


def _option(name: str, value: Any) -> str:
    return f"--{'no-' if value is False else ''}{name.replace('_', '-')}"
